package cluster_test

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkCall is calls per second between two members over mutual TLS on
// loopback, both on this machine.
func BenchmarkCall(b *testing.B) {
	for _, workers := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("%d bytes, %d callers a core", 400, workers), func(b *testing.B) {
			s := newSite(b)
			one, two := s.start("one"), s.start("two")
			eventually(b, one.Node, "both are", size(2))
			two.Handle("take", func(context.Context, string, []byte) ([]byte, error) { return nil, nil })
			payload := make([]byte, 400)
			b.SetParallelism(workers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := one.Call(context.Background(), "h1.two", "take", payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
