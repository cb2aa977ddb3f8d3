package consensus

import (
	"strings"
	"time"
)

// Status is how replication is at a moment, on this node.
type Status struct {
	State string // leader, follower, candidate, shutdown
	Term  uint64
	// LastIndex is the end of the log, CommitIndex the last entry that a majority
	// has, AppliedIndex the last one that this node has applied.
	LastIndex, CommitIndex, AppliedIndex uint64
	// Contact is how long ago a follower heard from a leader; 0 on the leader, and
	// -1 if never.
	Contact time.Duration
}

// States are the values of Status.State.
func States() []string { return []string{"leader", "follower", "candidate", "shutdown"} }

// Status tells how replication is.
func (n *Node) Status() Status {
	s := Status{
		State: strings.ToLower(n.raft.State().String()), Term: n.raft.CurrentTerm(),
		LastIndex: n.raft.LastIndex(), CommitIndex: n.raft.CommitIndex(), AppliedIndex: n.raft.AppliedIndex(),
	}
	switch last := n.raft.LastContact(); {
	case s.State == "leader":
	case last.IsZero():
		s.Contact = -1
	default:
		s.Contact = n.clock.Now().Sub(last)
	}
	return s
}
