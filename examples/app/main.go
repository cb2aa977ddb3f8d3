// Command app is a small application whose users log in at an OpenID Connect
// provider: authorization code flow with PKCE, state and nonce, an ID token
// checked against the provider's published keys, and logout. It uses the
// standard library only; read it to see what an adapter does for you.
//
//	go run ./examples/app --issuer http://localhost:8080/auth/realms/demo --client demo-app --listen :8180
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("app", flag.ContinueOnError)
	issuer := flags.String("issuer", "http://localhost:8080/auth/realms/demo", "the realm whose users log in")
	client := flags.String("client", "demo-app", "the client id of this application in the realm")
	listen := flags.String("listen", ":8180", "address to serve at")
	public := flags.String("url", "", "address that browsers use; http://localhost:<port> by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %w", *listen, err)
	}
	if *public == "" {
		*public = fmt.Sprintf("http://localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	}
	app := newApp(&provider{issuer: *issuer, client: *client, http: &http.Client{Timeout: 10 * time.Second}}, *public)
	server := &http.Server{Handler: app.routes(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // ends Serve below
	}()
	fmt.Fprintf(out, "Open %s and log in at %s\n", *public, *issuer)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
