package cluster_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"google.golang.org/grpc/test/bufconn"
)

// air is a network in memory, for nodes whose time is virtual: without TLS, as Go's
// race detector has crashed on that there.
type air struct {
	mu        sync.Mutex
	listeners map[string]*antenna
}

func newAir() *air { return &air{listeners: map[string]*antenna{}} }

// antenna is a listener in the air.
type antenna struct {
	*bufconn.Listener
	addr *net.TCPAddr
}

func (a *air) listen() net.Listener {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := &antenna{bufconn.Listen(64 << 10), &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7000 + len(a.listeners)}}
	a.listeners[l.addr.String()] = l
	return l
}

func (a *air) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	a.mu.Lock()
	l := a.listeners[addr]
	a.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	conn, err := l.DialContext(ctx)
	if err != nil && ctx.Err() == nil { // the listener is closed
		return nil, errors.Join(syscall.ECONNREFUSED, err)
	}
	return conn, err
}

func (l *antenna) Addr() net.Addr { return l.addr }

func (l *antenna) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, errors.Join(net.ErrClosed, err)
	}
	return conn, nil
}
