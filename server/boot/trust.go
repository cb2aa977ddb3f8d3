package boot

import "sync"

// noCertificate is what a server says of its certificate that needs none.
const noCertificate = "none"

// trust is which authorities of the domain (PEM, the issuing one first) count, as
// the agent said last; nil before it did, or when it is an older program.
type trust struct {
	mu          sync.Mutex
	authorities []byte
	changed     chan struct{} // closed and replaced with each change
}

func newTrust() *trust { return &trust{changed: make(chan struct{})} }

func (t *trust) set(authorities []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.authorities = authorities
	close(t.changed)
	t.changed = make(chan struct{})
}

// get gives the authorities and a channel that is closed when they change.
func (t *trust) get() ([]byte, <-chan struct{}) {
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.authorities, t.changed
}
