package consensus

import (
	"errors"
	"os"

	"github.com/hashicorp/raft"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Recover is the way back when a majority of the controllers is lost for good.
// It makes the node in cfg.Dir, which must not be running, a member of a new
// replication of exactly the given members, keeping what its own log holds:
// what only the lost controllers knew is lost. Run it on the node with the
// newest log, with itself as the only member, then add the others anew.
func Recover(cfg Config, members []Member) error {
	if len(members) == 0 {
		return problem.Invalid.Errorf("cannot recover: no members are given")
	}
	if _, err := os.Stat(cfg.Dir); err != nil {
		return problem.NotFound.Errorf("cannot recover from %s: %w", cfg.Dir, err)
	}
	box, err := newBox(cfg.Key)
	if err != nil {
		return err
	}
	store, err := openStore(cfg.Dir)
	if err != nil {
		return err
	}
	defer store.Close()
	logger := bridge(cfg.Log)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, snapshotsKept, logger)
	if err != nil {
		return problem.Internal.Errorf("cannot recover from %s: %w", cfg.Dir, err)
	}
	var servers raft.Configuration
	for _, m := range members {
		servers.Servers = append(servers.Servers, raft.Server{ID: raft.ServerID(m.Name), Address: raft.ServerAddress(m.Address)})
	}
	fsm := newFSM(cfg.Machine, box)
	// Nothing is sent: the transport only says how addresses are written.
	_, cfg.Transport.Raft = raft.NewInmemTransport("")
	err = raft.RecoverCluster(raftConfig(cfg, logger, nil), fsm, store, store, snapshots, cfg.Transport.Raft, servers)
	if err = firstOf(err, fsm.failure()); err != nil {
		return problem.Internal.Errorf("cannot recover from %s: %w", cfg.Dir, err)
	}
	return nil
}

// Tail is how far a log reaches.
type Tail struct {
	Index uint64
	Term  uint64
}

// Inspect says how far the log of a node that is not running reaches. It reads
// no content and changes nothing.
func Inspect(dir string) (t Tail, err error) {
	if _, err := os.Stat(dir); err != nil {
		return t, problem.NotFound.Errorf("cannot inspect the log in %s: %w", dir, err)
	}
	store, err := openStore(dir)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	// What was compacted away is in a snapshot.
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, bridge(zerolog.Nop()))
	if err != nil {
		return t, problem.Internal.Errorf("cannot inspect the snapshots in %s: %w", dir, err)
	}
	list, err := snapshots.List()
	if err != nil {
		return t, problem.Internal.Errorf("cannot inspect the snapshots in %s: %w", dir, err)
	}
	if len(list) > 0 { // the newest is the first
		t = Tail{list[0].Index, list[0].Term}
	}
	last, err := store.LastIndex()
	if err != nil || last <= t.Index {
		return t, err
	}
	var entry raft.Log
	if err := store.GetLog(last, &entry); err != nil {
		return t, problem.Internal.Errorf("cannot inspect the log in %s: %w", dir, err)
	}
	return Tail{entry.Index, entry.Term}, nil
}
