package storagetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// childAddress tells the test binary that it is the child that holds a lock.
const childAddress = "GATEHOUSE_STORAGETEST_CHILD"

// holdLock takes the lock "boot", says so and waits to be killed.
func holdLock(address string, open Open) int {
	ctx := context.Background()
	s, err := open(ctx, address, storage.Options{Clock: clock.Real(), Holder: "the-child"})
	if err == nil {
		_, err = s.Lock(ctx, "boot", time.Minute)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("locked")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // ends with the parent, should it die first
	return 0
}

func testLock(t *testing.T, d database) {
	a, b := d.server(t, func(o *storage.Options) { o.Holder = "holder-a" }), d.server(t)
	ctx := context.Background()
	unlock, err := a.Lock(ctx, "boot", time.Second)
	must(t, err)
	_, err = b.Lock(ctx, "boot", 0)
	wantKind(t, err, problem.Timeout)
	if !strings.Contains(err.Error(), "holder-a") {
		t.Errorf("the error does not name the holder: %v", err)
	}
	other, err := b.Lock(ctx, "import", 0) // another lock is another lock
	must(t, err)
	must(t, other())
	must(t, unlock())
	_ = unlock()

	var inside atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			s := a
			if i%2 == 1 {
				s = b
			}
			unlock, err := s.Lock(ctx, "boot", time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			if inside.Add(1) != 1 {
				t.Error("two hold the lock")
			}
			_ = clock.Sleep(ctx, clock.Real(), 2*time.Millisecond)
			inside.Add(-1)
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func testDeadHolder(t *testing.T, d database) {
	s := d.server(t)
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self, "-test.run=^$")
	child.Env = append(os.Environ(), childAddress+"="+d.address)
	out, err := child.StdoutPipe()
	must(t, err)
	in, err := child.StdinPipe()
	must(t, err)
	defer func() { _ = in.Close() }()
	must(t, child.Start())
	line, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "locked" {
		t.Fatalf("the child says %q", line)
	}
	ctx := context.Background()
	_, err = s.Lock(ctx, "boot", 10*time.Millisecond)
	wantKind(t, err, problem.Timeout)
	if !strings.Contains(err.Error(), "the-child") {
		t.Errorf("the error does not name the holder: %v", err)
	}
	must(t, child.Process.Kill())
	_ = child.Wait()
	start := clock.Real().Now()
	unlock, err := s.Lock(ctx, "boot", time.Minute)
	must(t, err)
	t.Logf("free %s after its holder was killed", clock.Since(clock.Real(), start))
	must(t, unlock())
}

func testBoot(t *testing.T, d database) {
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := d.open(context.Background(), d.address, storage.Options{Clock: clock.Real()})
			if err != nil {
				t.Error(err)
				return
			}
			if status, err := s.Status(context.Background()); err != nil || status.Schema < 1 {
				t.Errorf("status %+v, %v", status, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func testClosed(t *testing.T, d database) {
	s := d.server(t)
	must(t, s.Close())
	_ = s.Close()
	if err := s.Sessions().SingleUse.Put(context.Background(), "r", "k", nil, 1<<40); err == nil {
		t.Error("a closed store accepts a write")
	}
}
