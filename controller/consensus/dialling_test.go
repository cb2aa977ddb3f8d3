package consensus

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Promise 2 of DESIGN.md, section 6: the timeouts leave room for one vote that
// finds no winner.
func TestTheTimeoutsReplaceALostLeaderWithinTwoSeconds(t *testing.T) {
	if longest := 2*heartbeatTimeout + 2*electionTimeout; longest >= 2*time.Second {
		t.Errorf("a lost leader is noticed and replaced after up to %s", longest)
	}
	if leaderLease >= heartbeatTimeout {
		t.Error("a leader that was cut off may lead beside the next one")
	}
}

// slow is a peer to whom a connection takes as long as it says.
type slow struct {
	takes  time.Duration
	fails  error
	asked  atomic.Int64
	closed atomic.Int64
}

func (s *slow) dial(ctx context.Context, _ string) (net.Conn, error) {
	s.asked.Add(1)
	if err := clock.Sleep(ctx, clock.Real(), s.takes); err != nil {
		return nil, err
	}
	if s.fails != nil {
		return nil, s.fails
	}
	ours, theirs := net.Pipe()
	return noted{ours, theirs, s}, nil
}

// noted notes that it was closed.
type noted struct {
	net.Conn
	other net.Conn
	of    *slow
}

func (n noted) Close() error {
	n.of.closed.Add(1)
	return errors.Join(n.Conn.Close(), n.other.Close())
}

func TestAConnectionThatComesLateIsTheNextCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &slow{takes: 3 * transportTimeout}
		d := newDialling(peer.dial)
		defer d.close()
		for range 2 {
			if _, err := d.connect("c2", transportTimeout); !problem.Is(err, problem.Timeout) || !strings.Contains(err.Error(), "c2") {
				t.Fatalf("got %v", err)
			}
		}
		began := clock.Real().Now()
		conn, err := d.connect("c2", 2*transportTimeout)
		if err != nil || clock.Since(clock.Real(), began) != transportTimeout {
			t.Fatalf("%v after %s", err, clock.Since(clock.Real(), began))
		}
		if n := peer.asked.Load(); n != 1 {
			t.Errorf("%d attempts for one connection", n)
		}
		_ = conn.Close()
	})
}

func TestEachCallerHasAConnectionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &slow{takes: time.Second}
		d := newDialling(peer.dial)
		defer d.close()
		got := make(chan net.Conn, 3)
		for range 3 {
			go func() {
				conn, err := d.connect("c2", transportTimeout)
				if err != nil {
					t.Error(err)
				}
				got <- conn
			}()
		}
		one, two, three := <-got, <-got, <-got
		if one == two || two == three || one == three || peer.asked.Load() != 3 {
			t.Errorf("%d attempts", peer.asked.Load())
		}
		for _, conn := range []net.Conn{one, two, three} {
			_ = conn.Close()
		}
	})
}

func TestAFailureIsOfThoseWhoWaitForItOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &slow{takes: 3 * time.Second, fails: errors.New("refused")}
		d := newDialling(peer.dial)
		defer d.close()
		if _, err := d.connect("c2", 4*time.Second); err == nil || err.Error() != "refused" {
			t.Errorf("got %v", err)
		}
		if _, err := d.connect("c2", time.Second); !problem.Is(err, problem.Timeout) {
			t.Errorf("got %v", err)
		}
		_ = clock.Sleep(t.Context(), clock.Real(), 4*time.Second)
		synctest.Wait()
		peer.fails = nil
		conn, err := d.connect("c2", 4*time.Second)
		if err != nil {
			t.Fatalf("an old failure: %v", err)
		}
		_ = conn.Close()
	})
}

func TestAConnectionThatNobodyTakesIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &slow{takes: 2 * time.Second}
		d := newDialling(peer.dial)
		_, _ = d.connect("c2", time.Second) // too early
		_ = clock.Sleep(t.Context(), clock.Real(), 2*dialPatience)
		synctest.Wait()
		if peer.closed.Load() != 1 {
			t.Error("it stays open")
		}
		_, _ = d.connect("c2", time.Second)
		_ = clock.Sleep(t.Context(), clock.Real(), 2*time.Second) // it is there
		d.close()
		if peer.closed.Load() != 2 {
			t.Error("it stays open when the node stops")
		}
		if _, err := d.connect("c2", time.Second); err == nil {
			t.Error("it connects after the end")
		}
	})
}
