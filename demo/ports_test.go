package demo

import (
	"net"
	"slices"
	"testing"
)

// Several demos may begin at the same moment: what one has found is refused to the
// others, and to its own parts it is free, again and again.
func TestPortsThatADemoHasFoundAreItsOwn(t *testing.T) {
	const demos = 4
	type found struct {
		ports   Ports
		release func()
		err     error
	}
	all := make(chan found)
	for range demos {
		go func() {
			p, release, err := FreePorts()
			all <- found{p, release, err}
		}()
	}
	var taken []int
	var last Ports
	for range demos {
		f := <-all
		if f.err != nil {
			t.Fatal(f.err)
		}
		t.Cleanup(f.release)
		taken = append(taken, f.ports.all()...)
		last = f.ports
	}
	slices.Sort(taken)
	if own := slices.Compact(slices.Clone(taken)); len(own) != len(taken) {
		t.Errorf("a port was given twice: %v", taken)
	}
	for _, port := range last.all() {
		for range 2 {
			l, err := net.Listen("tcp", loopback(port))
			if err != nil {
				t.Fatalf("whoever was given the port cannot listen on it: %v", err)
			}
			l.Close()
		}
	}
}

func TestAPortWhereSomebodyListensIsNotFree(t *testing.T) {
	p, release, err := FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{p.Raft, p.Cluster + p.TwoShift} {
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	}
	release()
	other, release, err := FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if other.Balancer == p.Balancer {
		t.Errorf("the ports from %d on were found, and somebody listens there", p.Balancer)
	}
}
