package logs

import (
	"bytes"
	"sync"
)

// Ring keeps the newest lines that were written to it, for those who ask
// afterwards. It is safe for concurrent use.
type Ring struct {
	limit int

	mu   sync.Mutex
	text []byte
}

// NewRing makes a ring that keeps at least the last half of limit bytes, and at
// most limit.
func NewRing(limit int) *Ring { return &Ring{limit: limit} }

// Write takes whole lines. It never fails.
func (r *Ring) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, line...)
	if len(r.text) > r.limit {
		kept := r.text[len(r.text)-r.limit/2:]
		_, kept, _ = bytes.Cut(kept, []byte{'\n'}) // not half a line
		r.text = append(make([]byte, 0, r.limit), kept...)
	}
	return len(line), nil
}

// Text is what is kept, the oldest first.
func (r *Ring) Text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.text)
}
