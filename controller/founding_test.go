package controller_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Whoever finds the management socket at the first boot is in a domain: it has its
// authority and its model, and no seed undoes what it changes.
func TestTheFirstOperationOfADomainWaitsUntilThereIsOne(t *testing.T) {
	cfg := controller.Config{Dir: t.TempDir(), Name: "c1", Native: "127.0.0.1:0", HTTP: "127.0.0.1:0", Replication: "127.0.0.1:0", Clock: clock.Real(), Log: zerolog.Nop()}
	c, err := controller.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cfg: cfg, c: c}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	until(t, "somebody answers at the management socket", func() bool {
		conn, err := net.Dial("unix", filepath.Join(cfg.Dir, controller.SocketName))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	p.cli = p.dial()
	defer p.cli.Close()
	p.do("add", "/system-property=first", "value", "kept")
	if token := p.do("add-host", "", "name", "host2"); token.Result == nil {
		t.Error("the domain made no join token")
	}
	<-c.Ready()
	if got := p.do("read-attribute", "/system-property=first", "name", "value").Result; got != "kept" {
		t.Errorf("what was changed first is %v", got)
	}
}
