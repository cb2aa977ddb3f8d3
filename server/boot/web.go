package boot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// The kinds of listeners.
const (
	plainKind = "http-listener"
	tlsKind   = "https-listener"
)

// webListener is one port that people use, as its attributes say.
type webListener struct {
	kind, name, binding string
	tls                 *tls.Config    // nil: plain HTTP
	forwarding          bool           // forwarding headers are read at all
	trusted             []netip.Prefix // whose forwarding headers are believed; nil: everybody's
	redirect            string         // the binding that requests without TLS are sent to; "" for none
	limits              httpLimits
}

// httpLimits bound what one client may take of a server.
type httpLimits struct {
	header, read, write, idle time.Duration // 0 for none
	maxHeader                 int           // bytes
	maxBody                   int64         // bytes; 0 for no limit
	connections               int           // at one moment; 0 for no limit
	http2                     bool
}

// readListener reads the attributes of one listener.
func readListener(cfg servergroups.ServerConfig, kind, name, binding string) (webListener, error) {
	at := func(attribute string) []string {
		return serverPath(cfg, kind, name, attribute)
	}
	millis := func(attribute string, def int64) time.Duration {
		return time.Duration(cfg.Int(def, at(attribute)...)) * time.Millisecond
	}
	w := webListener{
		kind: kind, name: name, binding: binding,
		forwarding: cfg.Bool(false, at("proxy-address-forwarding")...),
		redirect:   cfg.String("", at("redirect-socket")...),
		limits: httpLimits{
			header: millis("request-parse-timeout", 10000), read: millis("read-timeout", 90000),
			write: millis("write-timeout", 90000), idle: millis("no-request-timeout", 60000),
			maxHeader:   int(cfg.Int(1<<20, at("max-header-size")...)),
			maxBody:     cfg.Int(10<<20, at("max-post-size")...),
			connections: int(cfg.Int(0, at("max-connections")...)),
			http2:       cfg.Bool(true, at("enable-http2")...),
		},
	}
	var err error
	w.trusted, err = readTrusted(cfg, kind, name)
	return w, err
}

// server is an http.Server of the listener. Requests of h pass the listener's
// limits first.
func (w webListener) server(h http.Handler, log zerolog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(w.limits.http2)
	protocols.SetUnencryptedHTTP2(w.limits.http2)
	h = believe(w.trusted, h)
	if w.limits.maxBody > 0 {
		h = httpio.LimitBody(w.limits.maxBody, h)
	}
	return &http.Server{
		Handler: h, Protocols: protocols, ErrorLog: stdlog.New(debugLog{log}, "", 0),
		ReadHeaderTimeout: w.limits.header, ReadTimeout: w.limits.read, WriteTimeout: w.limits.write, IdleTimeout: w.limits.idle,
		MaxHeaderBytes: w.limits.maxHeader,
	}
}

// debugLog receives what strangers do wrong on a connection.
type debugLog struct{ log zerolog.Logger }

func (l debugLog) Write(line []byte) (int, error) {
	l.log.Debug().Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// on prepares an open port for the listener: bounded, with TLS.
func (w webListener) on(l net.Listener) net.Listener {
	if w.limits.connections > 0 {
		l = netutil.LimitListener(l, w.limits.connections)
	}
	if w.tls != nil {
		config := w.tls.Clone()
		if config.NextProtos = []string{"h2", "http/1.1"}; !w.limits.http2 {
			config.NextProtos = config.NextProtos[1:]
		}
		l = tls.NewListener(l, config)
	}
	return l
}

// task serves the listener on an open port. Requests in flight at the end get
// drain to finish.
func (w webListener) task(l net.Listener, h http.Handler, drain time.Duration, log zerolog.Logger) tasks.Task {
	return tasks.Task{Name: w.kind, Run: func(ctx context.Context) error {
		return serveHTTP(ctx, w.on(l), w.server(h, log), drain)
	}}
}

// serveHTTP serves until ctx ends, then lets requests in flight finish.
func serveHTTP(ctx context.Context, l net.Listener, srv *http.Server, drain time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
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

// readWeb reads the enabled listeners of a server, with the certificate of the
// one for HTTPS; one without a certificate does not open.
func readWeb(cfg servergroups.ServerConfig, dir string, c clock.Clock, log zerolog.Logger) ([]webListener, error) {
	var out []webListener
	if name, binding := findListener(cfg, plainKind); name != "" {
		w, err := readListener(cfg, plainKind, name, binding)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	if name, binding := findListener(cfg, tlsKind); name != "" {
		w, err := readListener(cfg, tlsKind, name, binding)
		if err != nil {
			return nil, err
		}
		if w.tls, err = readTLS(cfg, name, dir, c, log); err != nil {
			return nil, err
		}
		if w.tls != nil {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return nil, errNoHTTP
	}
	return out, nil
}

// readProtocols turns names such as TLSv1.3 into the least and the greatest
// version; names of older ones are left out, and without any left it refuses.
func readProtocols(config *tls.Config, names []string, where string) error {
	config.MinVersion = tls.VersionTLS12
	if len(names) == 0 {
		return nil
	}
	known := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}
	var least, most uint16
	for _, name := range names {
		v, ok := known[name]
		if !ok {
			continue
		}
		if least == 0 || v < least {
			least = v
		}
		most = max(most, v)
	}
	if least == 0 {
		return problem.Invalid.Errorf("cannot use enabled-protocols of %s: none of %s is spoken (valid: TLSv1.2, TLSv1.3)", where, fmt.Sprint(names))
	}
	config.MinVersion, config.MaxVersion = least, most
	return nil
}
