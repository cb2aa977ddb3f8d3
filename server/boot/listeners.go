package boot

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Socket bindings that a server opens besides those its listeners name.
const (
	healthBinding  = "health"
	clusterBinding = "cluster"
)

// open listens on a binding of the configuration.
func openBinding(ctx context.Context, cfg servergroups.ServerConfig, name string) (net.Listener, error) {
	b, ok := cfg.Bindings[name]
	if !ok {
		return nil, problem.Invalid.Errorf("cannot listen: the socket-binding group of server %q has no socket-binding %q", cfg.Name, name)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.Listen())
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot listen on %s for socket-binding %q of server %q: %w", b.Listen(), name, cfg.Name, err)
	}
	return l, nil
}

func portsOf(listeners map[string]net.Listener) map[string]uint32 {
	ports := make(map[string]uint32, len(listeners))
	for name, l := range listeners {
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			ports[name] = uint32(addr.Port)
		}
	}
	return ports
}

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// serveHTTP serves until ctx ends, then lets requests in flight finish for a
// moment: whoever ends us has drained the gate before.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, timeouts httpTimeouts) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: h, Protocols: protocols,
		ReadHeaderTimeout: timeouts.header, ReadTimeout: timeouts.read, WriteTimeout: timeouts.write, IdleTimeout: timeouts.idle,
		MaxHeaderBytes: timeouts.maxHeader,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = srv.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) && !errors.Is(served, net.ErrClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// httpTimeouts bound what one client may take of a server.
type httpTimeouts struct {
	header, read, write, idle time.Duration
	maxHeader                 int // bytes
}

func readTimeouts(cfg servergroups.ServerConfig, kind, listener string) httpTimeouts {
	millis := func(name string, def int64) time.Duration {
		return time.Duration(cfg.Int(def, httpName, listenersPath, defaultServer, kind, listener, name)) * time.Millisecond
	}
	return httpTimeouts{
		header: millis("request-parse-timeout", 10000), read: millis("read-timeout", 90000),
		write: millis("write-timeout", 90000), idle: millis("no-request-timeout", 60000),
		maxHeader: int(cfg.Int(1<<20, httpName, listenersPath, defaultServer, kind, listener, "max-header-size")),
	}
}
