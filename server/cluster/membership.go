package cluster

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
)

// meta is what gossip carries of a member; memberlist allows 512 bytes.
type meta struct {
	Host     string `json:"h"`
	Server   string `json:"s"`
	Site     string `json:"t,omitempty"`
	Data     string `json:"d"`
	HTTP     string `json:"w,omitempty"`
	Revision uint64 `json:"r,omitempty"`
	Born     int64  `json:"b"`
}

func (n *Node) meta() []byte {
	n.members.Lock()
	m := n.self
	n.members.Unlock()
	data, err := json.Marshal(meta{m.Host, m.Server, m.Site, m.DataAddr, m.HTTPAddr, m.Revision, m.Born})
	if err != nil {
		n.log.Error().Err(err).Msg("cannot describe this member")
	}
	return data
}

// member reads a description; ok is false when it does not fit its name.
func member(node *memberlist.Node) (m Member, ok bool) {
	var d meta
	if err := json.Unmarshal(node.Meta, &d); err != nil || NodeName(d.Host, d.Server) != node.Name {
		return Member{}, false
	}
	return Member{node.Name, d.Host, d.Server, d.Site, d.Data, d.HTTP, d.Revision, d.Born}, true
}

// The three notifications of memberlist come one at a time.

// NotifyJoin implements memberlist.EventDelegate.
func (n *Node) NotifyJoin(node *memberlist.Node) { n.appeared(node) }

// NotifyUpdate implements memberlist.EventDelegate.
func (n *Node) NotifyUpdate(node *memberlist.Node) { n.appeared(node) }

func (n *Node) appeared(node *memberlist.Node) {
	m, ok := member(node)
	n.members.Lock()
	defer n.members.Unlock()
	switch {
	case node.Name == n.self.Name:
		return
	case !ok:
		n.log.Warn().Str("member", node.Name).Msg("cannot read a member's description; ignoring it")
		return
	case n.left[m.Name] == m.Born: // gossip that is older than the farewell
		return
	}
	old, known := n.seen[m.Name]
	if known && old == m {
		return
	}
	if known && !old.Same(m) {
		n.log.Info().Str("member", m.Name).Msg("a member has restarted")
	}
	if !known {
		n.log.Info().Str("member", m.Name).Str("address", m.DataAddr).Msg("a member has joined")
	}
	n.seen[m.Name] = m
	delete(n.missing, m.Name)
	n.publishView()
}

// NotifyLeave implements memberlist.EventDelegate.
func (n *Node) NotifyLeave(node *memberlist.Node) {
	n.members.Lock()
	defer n.members.Unlock()
	m, known := n.seen[node.Name]
	if !known {
		return
	}
	if gone, ok := member(node); ok && !gone.Same(m) { // the run before this one
		return
	}
	n.log.Warn().Str("member", m.Name).Msg("a member is lost")
	delete(n.seen, m.Name)
	n.missing[m.Name] = m
	n.publishView()
	n.plane.lost(m.Name)
}

// publishView makes the next view; n.members is held.
func (n *Node) publishView() {
	view := View{Number: n.view.Number + 1, Members: []Member{n.self}}
	for _, m := range n.seen {
		view.Members = append(view.Members, m)
	}
	for _, m := range n.missing {
		view.Departed = append(view.Departed, m)
	}
	SortByAge(view.Members)
	SortByAge(view.Departed)
	n.view = view
	close(n.changed)
	n.changed = make(chan struct{})
}

// SortByAge puts the oldest first.
func SortByAge(list []Member) {
	slices.SortFunc(list, func(a, b Member) int {
		if a.Born != b.Born {
			if a.Born < b.Born {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
}
