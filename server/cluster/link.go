package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// A frame is: length of the rest (uint32), kind (byte), call id (uint64), body.
// The body of a request is the caller's patience in milliseconds (uint32, 0:
// without end), the length of the name (byte), the name, the payload; that of
// a failure is the problem's kind (byte) and its message; that of a packet is one
// message of gossip, and its id is 0. All big endian.
const (
	request = 1
	success = 2
	failure = 3
	packet  = 4

	frameHead = 4 + 1 + 8
	maxFrame  = MaxPayload + 1024
	// maxWaiting bounds the bytes that wait to be written to one peer: more
	// callers wait until the writer has caught up.
	maxWaiting = 4 << 20
	// maxPiece is how much is written under one deadline: a peer that takes
	// nothing for so long is lost, one that takes a large frame slowly is not.
	maxPiece = 256 << 10
)

// link is one connection between two members. Both call over it and answer,
// whoever has made it: a pair of members needs no more than one.
type link struct {
	conn    net.Conn
	clock   clock.Clock
	timeout time.Duration // for one piece of a write
	ended   chan struct{} // closed when all goroutines of the link are done

	mu      sync.Mutex
	out     []byte        // frames to write; many callers' frames leave in one write
	wake    chan struct{} // capacity 1: there is something to write
	writing bool          // the writer has taken what was in out, and not yet written it
	space   chan struct{} // closed when the writer has taken out, and when it has written it
	pending map[uint64]chan<- reply
	lastID  uint64
	done    chan struct{}
	err     error // why done is closed
}

type reply struct {
	payload []byte
	err     error
}

func newLink(conn net.Conn, c clock.Clock, timeout time.Duration) *link {
	return &link{
		conn: conn, clock: c, timeout: timeout, ended: make(chan struct{}), wake: make(chan struct{}, 1),
		space: make(chan struct{}), pending: map[uint64]chan<- reply{}, done: make(chan struct{}),
	}
}

func (l *link) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

// close ends the link; all who wait on it get the cause.
func (l *link) close(cause error) {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return
	}
	l.err = cause
	close(l.done)
	pending := l.pending
	l.pending = nil
	l.mu.Unlock()
	for _, waiter := range pending {
		waiter <- reply{err: cause}
	}
	// A TLS connection sends its farewell first, which may hang on a dead
	// peer: the deadline bounds it.
	_ = l.conn.SetWriteDeadline(l.clock.Now().Add(l.timeout / 4))
	l.conn.Close()
}

// call sends one request and waits for its reply.
func (l *link) call(ctx context.Context, name string, payload []byte) ([]byte, error) {
	var patience uint32
	if deadline, ok := ctx.Deadline(); ok {
		patience = uint32(max(1, min(deadline.Sub(l.clock.Now()).Milliseconds(), 1<<31)))
	}
	answer := make(chan reply, 1)
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return nil, l.err
	}
	l.lastID++
	id := l.lastID
	l.pending[id] = answer
	l.mu.Unlock()
	err := l.write(ctx, request, id, func(b []byte) []byte {
		b = binary.BigEndian.AppendUint32(b, patience)
		b = append(append(b, byte(len(name))), name...)
		return append(b, payload...)
	})
	if err != nil {
		l.forget(id)
		return nil, err
	}
	select {
	case r := <-answer:
		return r.payload, r.err
	case <-ctx.Done():
		l.forget(id)
		return nil, problem.Timeout.Errorf("cannot wait longer for %s: %w", name, ctx.Err())
	}
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, id)
}

// write queues one frame. It waits while too much is queued already.
func (l *link) write(ctx context.Context, kind byte, id uint64, body func([]byte) []byte) error {
	for {
		l.mu.Lock()
		if l.err != nil {
			l.mu.Unlock()
			return l.err
		}
		if len(l.out) < maxWaiting {
			break
		}
		space := l.space
		l.mu.Unlock()
		select {
		case <-space:
		case <-l.done:
		case <-ctx.Done():
			return problem.Timeout.Errorf("cannot send: the member does not take more: %w", ctx.Err())
		}
	}
	l.frame(kind, id, body)
	return nil
}

// trySend queues one packet, unless too much is queued already.
func (l *link) trySend(body []byte) {
	l.mu.Lock()
	if l.err != nil || len(l.out) >= maxWaiting {
		l.mu.Unlock()
		return
	}
	l.frame(packet, 0, func(b []byte) []byte { return append(b, body...) })
}

// frame queues one frame; l.mu is held, and released here.
func (l *link) frame(kind byte, id uint64, body func([]byte) []byte) {
	start := len(l.out)
	l.out = append(l.out, 0, 0, 0, 0, kind)
	l.out = binary.BigEndian.AppendUint64(l.out, id)
	l.out = body(l.out)
	binary.BigEndian.PutUint32(l.out[start:], uint32(len(l.out)-start-4))
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// peerSide is what a link does with what the other member sends by itself.
type peerSide struct {
	answer  func(ctx context.Context, name string, payload []byte) ([]byte, error)
	receive func(packet []byte)
}

// serve runs the link until it is closed.
func (l *link) serve(ctx context.Context, to peerSide) {
	defer close(l.ended)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // handlers of a caller that is gone
	defer context.AfterFunc(ctx, func() { l.close(net.ErrClosed) })()
	wg.Go(l.writer)
	r := bufio.NewReaderSize(l.conn, 16<<10) // a record of TLS
	for {
		kind, id, body, err := readFrame(r)
		if err != nil {
			l.close(err)
			return
		}
		switch {
		case kind == request:
			wg.Go(func() { l.answer(ctx, id, body, to.answer) })
		case kind == packet:
			to.receive(body)
		case kind == success:
			l.deliver(id, reply{payload: body})
		case kind == failure && len(body) > 0:
			l.deliver(id, reply{err: problem.Kind(body[0]).Errorf("%s", body[1:])})
		default:
			l.close(errors.New("the member speaks another protocol"))
			return
		}
	}
}

func readFrame(r *bufio.Reader) (kind byte, id uint64, body []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < frameHead-4 || length > maxFrame {
		return 0, 0, nil, problem.TooLarge.Errorf("cannot read a frame of %d bytes: %d to %d are valid", length, frameHead-4, maxFrame)
	}
	body = make([]byte, length-(frameHead-4))
	_, err = io.ReadFull(r, body)
	return head[4], binary.BigEndian.Uint64(head[5:]), body, err
}

func (l *link) deliver(id uint64, r reply) {
	l.mu.Lock()
	waiter := l.pending[id]
	delete(l.pending, id)
	l.mu.Unlock()
	if waiter != nil {
		waiter <- r
	}
}

// answer runs one request's handler and sends what it gives.
func (l *link) answer(ctx context.Context, id uint64, body []byte, handle func(context.Context, string, []byte) ([]byte, error)) {
	if len(body) < 5 || len(body) < 5+int(body[4]) {
		l.close(errors.New("the member sent a request without a name"))
		return
	}
	patience, name, payload := binary.BigEndian.Uint32(body), string(body[5:5+int(body[4])]), body[5+int(body[4]):]
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(patience)*time.Millisecond)
		defer cancel()
	}
	payload, err := handle(ctx, name, payload)
	if err == nil && len(payload) > MaxPayload {
		err = problem.TooLarge.Errorf("cannot reply to %s with %d bytes: at most %d", name, len(payload), MaxPayload)
	}
	kind := byte(success)
	if err != nil {
		switch {
		case errors.Is(err, context.DeadlineExceeded): // the caller's own, which it may not have seen yet
			err = problem.Timeout.Errorf("cannot finish %s in time: %w", name, err)
		case errors.Is(err, context.Canceled): // this server is leaving
			err = problem.Unavailable.Errorf("cannot finish %s: this server is leaving: %w", name, err)
		}
		kind = failure
		payload = append([]byte{byte(problem.KindOf(err))}, err.Error()...)
	}
	// Fails only when the link has ended: then nobody waits for it.
	_ = l.write(context.WithoutCancel(ctx), kind, id, func(b []byte) []byte { return append(b, payload...) })
}

// moved tells those who wait for the writer; l.mu is held.
func (l *link) moved(writing bool) {
	l.writing = writing
	close(l.space)
	l.space = make(chan struct{})
}

// flush waits until all that is queued is written, limit fires or the link ends.
func (l *link) flush(limit <-chan struct{}) {
	for {
		l.mu.Lock()
		written, space := len(l.out) == 0 && !l.writing, l.space
		l.mu.Unlock()
		if written {
			return
		}
		select {
		case <-space:
		case <-l.done:
			return
		case <-limit:
			return
		}
	}
}

// writer sends what is queued, all of it in one write.
func (l *link) writer() {
	var spare []byte
	for {
		select {
		case <-l.wake:
		case <-l.done:
			return
		}
		l.mu.Lock()
		batch := l.out
		l.out = spare[:0]
		l.moved(len(batch) > 0)
		l.mu.Unlock()
		if len(batch) == 0 {
			spare = batch
			continue
		}
		if err := l.send(batch); err != nil {
			l.close(err)
			return
		}
		l.mu.Lock()
		l.moved(false)
		l.mu.Unlock()
		if spare = batch; cap(spare) > 1<<20 {
			spare = nil // one large frame does not keep its memory for good
		}
	}
}

// send writes b piece by piece, as long as the peer takes them.
func (l *link) send(b []byte) error {
	for piece := range slices.Chunk(b, maxPiece) {
		if err := l.conn.SetWriteDeadline(l.clock.Now().Add(l.timeout)); err != nil {
			return err
		}
		if _, err := l.conn.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
