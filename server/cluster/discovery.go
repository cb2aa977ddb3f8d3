package cluster

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Hold hangs up on all who call a port that is open before its node runs, so
// that they need not wait to learn that there is no member yet. The port is
// free for New when release returns.
func Hold(l net.Listener) (release func()) {
	bounded, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return func() {}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	return func() {
		// A listener that was closed meanwhile has ended the loop by itself.
		_ = bounded.SetDeadline(time.Unix(1, 0))
		<-ended
		_ = bounded.SetDeadline(time.Time{})
	}
}

// Directory is a Discovery that its owner fills: in domain mode with the
// directory that the host agent relays, otherwise with a fixed list. It is
// safe for concurrent use.
type Directory struct {
	mu      sync.Mutex
	addrs   []string
	known   bool
	changed chan struct{}
}

// NewDirectory makes an empty directory. With authoritative, an address that
// is not listed is surely not in use: in domain mode agents take dead servers
// out, so a missing address tells a dead server from an unreachable one.
func NewDirectory(authoritative bool) *Directory {
	return &Directory{known: authoritative, changed: make(chan struct{})}
}

// Static is a fixed list of addresses; none at all makes a cluster of one.
func Static(addrs ...string) *Directory {
	d := NewDirectory(false)
	d.Set(addrs)
	return d
}

// Set replaces the addresses.
func (d *Directory) Set(addrs []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Equal(d.addrs, addrs) {
		return
	}
	d.addrs = slices.Clone(addrs)
	close(d.changed)
	d.changed = make(chan struct{})
}

// Addresses implements Discovery.
func (d *Directory) Addresses() (addrs []string, known bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addrs, d.known, d.changed
}
