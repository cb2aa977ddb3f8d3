package loadbalancer

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// body is a request's body that may have to be sent more than once: a small
// one is kept, a large one can be sent again as long as none of it was read.
type body struct {
	none bool
	kept []byte
	from io.ReadCloser // a large body; nil when kept
	read atomic.Bool
}

func newBody(r *http.Request) (*body, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return &body{none: true}, nil
	case r.ContentLength < 0 || r.ContentLength > bodyLimit:
		return &body{from: r.Body}, nil
	}
	kept := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, kept)
	return &body{kept: kept}, err
}

// again reports whether the body can be sent once more.
func (b *body) again() bool { return b.from == nil || !b.read.Load() }

func (b *body) reader() io.ReadCloser {
	switch {
	case b.none:
		return http.NoBody
	case b.from != nil:
		return &once{b}
	default:
		return io.NopCloser(bytes.NewReader(b.kept))
	}
}

// get is Request.GetBody: it lets the transport replace a connection that the
// server had closed while it was idle.
func (b *body) get() func() (io.ReadCloser, error) {
	if b.from != nil {
		return nil
	}
	return func() (io.ReadCloser, error) { return b.reader(), nil }
}

// once notes the first read. Closing is the server's business: the transport
// closes what it could not send, which must stay open for the next attempt.
type once struct{ *body }

func (o *once) Read(p []byte) (int, error) {
	o.read.Store(true)
	return o.from.Read(p)
}

func (o *once) Close() error { return nil }

// buffers keeps the buffers by which bodies are copied: one of 32 KiB for each
// request would be more than half of what a request costs in memory.
type buffers struct{ pool sync.Pool }

const copySize = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[copySize]byte); ok {
		return p[:]
	}
	return make([]byte, copySize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) {
	if len(p) == copySize {
		b.pool.Put((*[copySize]byte)(p))
	}
}
