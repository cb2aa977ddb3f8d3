package loadbalancer_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// BenchmarkPassing tells what a request costs through the balancer and without
// it, by clients that keep their connections.
func BenchmarkPassing(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	answer := make([]byte, 2<<10) // a token response
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) })}
	go backend.Serve(l)
	defer backend.Close()
	direct := "http://" + l.Addr().String()
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	lb := loadbalancer.New(loadbalancer.Config{Clock: clock.Real(), Log: zerolog.Nop()})
	lb.Set([]loadbalancer.Backend{{Route: "one", URL: mustParse(b, direct)}})
	srv := &http.Server{Handler: lb}
	go srv.Serve(front)
	defer srv.Close()
	for name, address := range map[string]string{"direct": direct, "balanced": "http://" + front.Addr().String()} {
		b.Run(name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					r, err := http.NewRequest("GET", address+"/auth/realms/demo", nil)
					if err != nil {
						b.Error(err)
						return
					}
					r.Header.Set("Cookie", "AUTH_SESSION_ID=6f1c2f9e-0b8e-4f7e-9d3f-0a1b2c3d4e5f.one; KEYCLOAK_IDENTITY=eyJhbGciOiJIUzI1NiJ9.e30.x")
					resp, err := client.Do(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		})
	}
}
