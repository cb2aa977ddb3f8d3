package consensus

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rs/zerolog"
)

// plain is raft's stream layer without TLS.
type plain struct{ net.Listener }

func (plain) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(to), timeout)
}

// Raft's pipeline hangs for good when a follower refuses what it is sent: see
// overNetwork.
func TestAFollowerIsSentOnePartOfTheLogAfterTheOther(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := overNetwork(plain{listener}, zerolog.Nop())
	defer transport.Close()
	if _, err := transport.AppendEntriesPipeline("c2", transport.LocalAddr()); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("a pipeline: %v", err)
	}
}

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
