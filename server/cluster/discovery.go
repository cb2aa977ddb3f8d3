package cluster

import (
	"slices"
	"sync"
)

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
