package publisher

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// reader is a host that takes changes of the directory.
type reader struct {
	*pipe
	view           hostlink.DirectoryView
	has            *hostlink.Directory
	whole, changes int
}

func newReader(ctx context.Context) *reader {
	r := &reader{pipe: newPipe(ctx, "i")}
	hello := <-r.up
	hello.GetHello().DirectoryChanges = true
	r.up <- hello
	return r
}

// read takes what is offered until nothing is.
func (r *reader) read() {
	for {
		synctest.Wait()
		select {
		case i := <-r.down:
			r.take(i)
		default:
			return
		}
	}
}

func (r *reader) take(i *hostlink.Instruction) {
	if d := i.GetDirectory(); d != nil {
		r.view.Whole(d)
		r.has, r.whole = d, r.whole+1
	}
	if c := i.GetDirectoryChange(); c != nil {
		r.changes++
		d, lost := r.view.Change(c)
		if lost {
			r.up <- &hostlink.Report{Report: &hostlink.Report_DirectoryLost{DirectoryLost: &hostlink.DirectoryLost{}}}
		}
		if d != nil {
			r.has = d
		}
	}
}

// settled lets the directory of what was reported go out.
func settled(ctx context.Context) { _ = clock.Sleep(ctx, clock.Real(), 2*directoryPause) } // virtual time

func TestAHostGetsAWholeDirectoryAndThenChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		p.Lead(true)
		host := newReader(ctx)
		go func() { _ = p.Serve("h", host, anyone) }()
		for i := range 5 {
			host.servers("one", fmt.Sprint("two-", i))
			settled(ctx)
			host.read()
		}
		if host.whole != 1 || host.changes != 4 || !proto.Equal(host.has, p.Directory()) {
			t.Errorf("%d whole, %d changes; it has %v", host.whole, host.changes, host.has)
		}
		host.view = hostlink.DirectoryView{}
		host.view.Whole(&hostlink.Directory{Version: 1}) // it has lost its mind
		host.servers("three")
		settled(ctx)
		host.read()
		host.read() // the answer to its complaint
		if host.whole != 2 || !proto.Equal(host.has, p.Directory()) {
			t.Errorf("after the complaint: %d whole; it has %v", host.whole, host.has)
		}
	})
}

func TestHoweverSlowAndBrokenItsLinksAreAHostEndsWithTheSameDirectory(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		p.Lead(true)
		var host *reader
		var lose context.CancelFunc
		connect := func() {
			var own context.Context
			own, lose = context.WithCancel(ctx)
			host = newReader(own)
			go func(host *reader) { _ = p.Serve("h", host, anyone) }(host)
			synctest.Wait()
		}
		connect()
		defer func() { lose() }()
		news := func() {
			var names []string
			for i := range 6 {
				if random.IntN(3) > 0 {
					names = append(names, fmt.Sprint("s", i))
				}
			}
			host.servers(names...)
			if random.IntN(2) == 0 {
				settled(ctx)
			}
		}
		for range 300 {
			switch random.IntN(10) {
			case 0:
				lose()
				synctest.Wait()
				connect()
			case 1, 2, 3, 4:
				news()
			case 5: // one, with others waiting behind it
				synctest.Wait()
				select {
				case i := <-host.down:
					host.take(i)
				default:
				}
			default:
				host.read()
			}
			synctest.Wait()
		}
		news()
		settled(ctx)
		host.read()
		host.read()
		if !proto.Equal(host.has, p.Directory()) {
			t.Errorf("it has\n%v\nnot\n%v", host.has, p.Directory())
		}
	})
}
