// Package consensus owns raft: the replicated log on disk, its transport, the
// controllers' membership and who leads. It is the only importer of the raft
// library. Log entries and snapshots are sealed before they reach the disk.
//
// It must not know what an entry means: that is the Machine's business; nor who
// an operator is, nor what a leader does besides leading.
package consensus

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The timeouts. A follower that has heard nothing from the leader for a random
// time of 1 to 2 heartbeat timeouts asks for votes; a vote that finds no winner
// is repeated after 1 to 2 election timeouts. A lost leader is therefore
// replaced after about
//
//	2 x heartbeatTimeout + (1 + split votes) x a round trip + one fsync
//
// which is near 1 s with one split vote in ten: the promise is 2 s. Lower values
// make pauses of a busy machine look like a lost leader.
const (
	heartbeatTimeout = 450 * time.Millisecond
	electionTimeout  = 450 * time.Millisecond
	// A leader that has not heard from a majority for this long steps down. It
	// is below heartbeatTimeout, so that the old leader stops before a new one
	// can be elected.
	leaderLease = 400 * time.Millisecond
	// How long a follower may stay unaware of a new commit when no other entry
	// follows it.
	commitTimeout = 50 * time.Millisecond
	// One connection attempt or one RPC of the transport; longer than a
	// heartbeat would only delay the retry.
	transportTimeout = 2 * time.Second
	// A leader that leads has its answers from a majority within the lease, or
	// steps down; twice that is certain.
	verifyTimeout = 2 * leaderLease
	// How long an entry may wait to enter the leader's queue, and a barrier to
	// pass it. Reached only when the disk hangs.
	enqueueTimeout = 5 * time.Second
)

// Compaction: when snapshotThreshold entries have been added, checked every 1
// to 2 snapshotIntervals, a snapshot replaces all but the last trailingLogs,
// which let a slow follower catch up without a snapshot.
const (
	snapshotInterval  = 30 * time.Second
	snapshotThreshold = 4096
	trailingLogs      = 1024
	snapshotsKept     = 2
)

// Machine is what the log is applied to, one entry at a time, in the order of
// the log, on every controller alike.
type Machine interface {
	// Apply gives the entry's result, which goes to the caller of Node.Apply. An
	// error means that this node cannot go on: it applies nothing more.
	Apply(index uint64, entry []byte) (result any, err error)
	// Snapshot captures the state at once; it is written out later, while Apply
	// goes on.
	Snapshot() (Snapshot, error)
	// Restore replaces the state.
	Restore(r io.Reader) error
}

// Snapshot is a captured state.
type Snapshot interface {
	WriteTo(w io.Writer) (int64, error)
}

// Config says what a Node needs. Every field is required unless said otherwise.
type Config struct {
	// Name identifies this controller for ever.
	Name string
	// Dir holds the log and the snapshots. It must be on a disk that keeps what
	// was synced.
	Dir       string
	Transport Transport
	Machine   Machine
	// Key seals entries and snapshots: 32 bytes, the same on all controllers.
	Key []byte
	Log zerolog.Logger
	// Clock is optional: the machine's by default. The raft library has its own.
	Clock clock.Clock
	// Committed, if not nil, is called with how long each entry took that this node
	// proposed as the leader, from Apply to the machine's result.
	Committed func(took time.Duration)
	// Compact overrides when the log is compacted; for tests.
	Compact Compaction
}

// Compaction says when the log is compacted; zero values are the defaults.
type Compaction struct {
	Interval  time.Duration
	Threshold uint64
	Trailing  uint64
}

// Transport connects this node to the others. Make one with TLS; tests use
// consensustest.
type Transport struct {
	Raft raft.Transport
	// Close, if not nil, ends it.
	Close func() error
}

// Node is one member of the controllers' replication.
type Node struct {
	name    string
	raft    *raft.Raft
	store   *raftboltdb.BoltStore
	trans   Transport
	fsm     *fsm
	box     *box
	notify  chan bool
	ready   atomic.Uint64 // the term in which this node leads and is up to date; 0: none
	watches watches
	ended   chan struct{} // closed when raft is over
	end     func()        // closes ended, once
	clock   clock.Clock
	log     zerolog.Logger
	// committed is Config.Committed.
	committed func(time.Duration)
}

// Open starts a node on what its directory holds. A node without a past waits
// until it is told to Bootstrap or is added by the leader.
func Open(cfg Config) (*Node, error) {
	box, err := newBox(cfg.Key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, problem.Internal.Errorf("cannot create the log's directory: %w", err)
	}
	store, err := openStore(cfg.Dir)
	if err != nil {
		return nil, err
	}
	logger := bridge(cfg.Log)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, logger)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot open snapshots in %s: %w", cfg.Dir, joinClose(err, store))
	}
	n := &Node{
		name:   cfg.Name,
		store:  store,
		trans:  cfg.Transport,
		fsm:    newFSM(cfg.Machine, box),
		box:    box,
		notify: make(chan bool, 16),
		ended:  make(chan struct{}),
		clock:  cfg.Clock,
		log:    cfg.Log,

		committed: cfg.Committed,
	}
	if n.committed == nil {
		n.committed = func(time.Duration) {}
	}
	if n.clock == nil {
		n.clock = clock.Real()
	}
	n.end = sync.OnceFunc(func() { close(n.ended) })
	n.raft, err = raft.NewRaft(raftConfig(cfg, logger, n.notify), n.fsm, store, store, snapshots, cfg.Transport.Raft)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot start replication from %s: %w", cfg.Dir, joinClose(err, store))
	}
	n.observe()
	return n, nil
}

// lockPatience is how long the log's lock is waited for: a process that another
// controller is just starting holds it between its fork and its exec.
const lockPatience = 5 * time.Second

func openStore(dir string) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(dir, "log.db")
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{Timeout: lockPatience}, MsgpackUseNewTimeFormat: true})
	if err != nil {
		return nil, problem.WithHint(problem.Unavailable.Errorf("cannot open the log %s: %w", path, err), "is another controller running in this directory?")
	}
	return store, nil
}

func raftConfig(cfg Config, logger hclogger, notify chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(cfg.Name)
	c.HeartbeatTimeout, c.ElectionTimeout = heartbeatTimeout, electionTimeout
	c.LeaderLeaseTimeout, c.CommitTimeout = leaderLease, commitTimeout
	c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = snapshotInterval, snapshotThreshold, trailingLogs
	if cfg.Compact != (Compaction{}) {
		c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = cfg.Compact.Interval, cfg.Compact.Threshold, cfg.Compact.Trailing
	}
	c.Logger = logger
	c.NotifyCh = notify
	// A removed controller stays up and says that it was removed.
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	return c
}

// Close stops the node. Nothing acknowledged is lost.
func (n *Node) Close() error {
	n.watches.close()
	err := n.raft.Shutdown().Error()
	n.end()
	if n.trans.Close != nil {
		err = firstOf(err, n.trans.Close())
	}
	return firstOf(err, n.store.Close())
}

// Failed is closed when the machine could not apply an entry; Failure says why.
func (n *Node) Failed() <-chan struct{} { return n.fsm.failed }

// Failure is why the node cannot go on, or nil.
func (n *Node) Failure() error { return n.fsm.failure() }

func joinClose(err error, c io.Closer) error { return firstOf(err, c.Close()) }

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
