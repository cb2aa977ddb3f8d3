package consensus

import (
	"sync/atomic"
	"testing"
)

func TestNoHeartbeatIsTakenAfterTheTransportsEnd(t *testing.T) {
	var b beats
	var taken atomic.Int64
	entered, leave := make(chan struct{}), make(chan struct{})
	go b.during(func() { close(entered); <-leave; taken.Add(1) })
	<-entered
	go close(leave)
	b.end()
	if taken.Load() != 1 {
		t.Error("the end did not wait for the one that was under way")
	}
	b.during(func() { taken.Add(1) })
	if taken.Load() != 1 {
		t.Error("one was taken after the end")
	}
}
