package loginactions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
)

const (
	// again is how long the answer to a form is kept for the same form: longer
	// than an impatient second click, shorter than anybody would notice.
	again = 10 * time.Second
	// keptAnswers bounds the memory: past it, a second click counts as a stale
	// page, which is safe and only less kind.
	keptAnswers = 4096
	// longest is how long a form may take when its browser is gone: a wait for the
	// hasher and a write.
	longest = 30 * time.Second
)

// answers gives a form that is sent twice one answer: a second click while the
// first is still being served waits for it and gets the same page and cookies.
// The key holds the browser's cookie and the session code, so nobody else can
// ask for it.
type answers struct {
	clock clock.Clock
	mu    sync.Mutex
	kept  map[[32]byte]*answer
	queue [][32]byte // keys, the oldest first
}

type answer struct {
	ready  chan struct{}
	at     time.Time
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswers(c clock.Clock) *answers {
	return &answers{clock: c, kept: map[[32]byte]*answer{}}
}

// once serves a form, or repeats the answer that it had.
func (a *answers) once(w http.ResponseWriter, r *http.Request, in *request, serve func(http.ResponseWriter, *http.Request)) {
	key, ok := keyOf(r, in)
	if !ok {
		serve(w, r)
		return
	}
	mine, first := a.claim(key)
	if mine == nil {
		serve(w, r)
		return
	}
	if first {
		defer close(mine.ready)
		// The browser gives up on the first click when there is a second.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), longest)
		defer cancel()
		serve(mine, r.WithContext(ctx))
		mine.copyTo(w)
		return
	}
	select {
	case <-mine.ready:
		mine.copyTo(w)
	case <-r.Context().Done():
	}
}

// claim is the answer kept under a key; first is true for who must make it. It
// is nil when no more are kept.
func (a *answers) claim(key [32]byte) (mine *answer, first bool) {
	now := a.clock.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && now.Sub(a.kept[a.queue[0]].at) >= again {
		delete(a.kept, a.queue[0])
		a.queue = a.queue[1:]
	}
	if kept := a.kept[key]; kept != nil {
		return kept, false
	}
	if len(a.kept) >= keptAnswers {
		return nil, true
	}
	mine = &answer{ready: make(chan struct{}), at: now, header: http.Header{}, status: http.StatusOK}
	a.kept[key] = mine
	a.queue = append(a.queue, key)
	return mine, true
}

// keyOf is what makes two forms the same: browser, address and content.
func keyOf(r *http.Request, in *request) (key [32]byte, ok bool) {
	c, err := r.Cookie(sessions.AuthSessionCookie)
	if err != nil || c.Value == "" || in.code == "" {
		return key, false
	}
	return sha256.Sum256([]byte(c.Value + "\x00" + r.Host + "\x00" + r.URL.RequestURI() + "\x00" + in.form.Encode())), true
}

// Header is the header of the answer that is being made.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the status.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write keeps the body.
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (a *answer) copyTo(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // a browser that is gone cannot be told
}
