package consensus

import (
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Member is one controller of the replication.
type Member struct {
	Name    string
	Address string // of its replication port
	Voter   bool
}

// Bootstrap makes this node the first and only member of a new replication. A
// node that has a past stays as it is.
func (n *Node) Bootstrap() error {
	err := n.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{
		ID:      raft.ServerID(n.name),
		Address: n.trans.Raft.LocalAddr(),
	}}}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return problem.Internal.Errorf("cannot start a new replication: %w", err)
	}
	return nil
}

// Members lists the controllers by name.
func (n *Node) Members() ([]Member, error) {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return nil, problem.Unavailable.Errorf("cannot list the controllers: %w", err)
	}
	var list []Member
	for _, s := range future.Configuration().Servers {
		list = append(list, Member{Name: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Add makes a controller a voter, or moves one that is a member to a new
// address. Only the leader can.
func (n *Node) Add(name, address string) error {
	if !n.Leads() {
		return n.notLeading("cannot add controller " + name)
	}
	members, err := n.Members()
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.Name == name && m.Address == address && m.Voter {
			return nil
		}
		if m.Name != name && m.Address == address {
			return problem.Conflict.Errorf("cannot add controller %s at %s: controller %s has that address", name, address, m.Name)
		}
	}
	if err := n.raft.AddVoter(raft.ServerID(name), raft.ServerAddress(address), 0, enqueueTimeout).Error(); err != nil {
		return n.writeProblem(err)
	}
	return nil
}

// Remove takes a controller out; also the leader itself, which then steps down.
// Only the leader can.
func (n *Node) Remove(name string) error {
	if !n.Leads() {
		return n.notLeading("cannot remove controller " + name)
	}
	members, err := n.Members()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) {
		return problem.NotFound.Errorf("cannot remove controller %s: there is none of that name (controllers: %s)", name, names(members))
	}
	if len(members) == 1 {
		return problem.Precondition.Errorf("cannot remove controller %s: it is the last one", name)
	}
	if err := n.raft.RemoveServer(raft.ServerID(name), 0, enqueueTimeout).Error(); err != nil {
		return n.writeProblem(err)
	}
	return nil
}

// Transfer hands the lead to another controller; "" lets the most up-to-date
// one have it. Only the leader can.
func (n *Node) Transfer(name string) error {
	if !n.Leads() {
		return n.notLeading("cannot transfer the lead")
	}
	members, err := n.Members()
	if err != nil {
		return err
	}
	var future raft.Future
	if name == "" {
		future = n.raft.LeadershipTransfer()
	} else {
		i := slices.IndexFunc(members, func(m Member) bool { return m.Name == name && m.Voter })
		if i < 0 {
			return problem.NotFound.Errorf("cannot transfer the lead to %s: there is no such controller (controllers: %s)", name, names(members))
		}
		if name == n.name {
			return nil
		}
		future = n.raft.LeadershipTransferToServer(raft.ServerID(name), raft.ServerAddress(members[i].Address))
	}
	if err := future.Error(); err != nil {
		return problem.Unavailable.Errorf("cannot transfer the lead: %w", err)
	}
	return nil
}

// HasPast reports whether the node's directory held a log or a snapshot.
func (n *Node) HasPast() bool { return n.raft.LastIndex() > 0 }

func names(members []Member) string {
	var list []string
	for _, m := range members {
		list = append(list, m.Name)
	}
	return strings.Join(list, ", ")
}
