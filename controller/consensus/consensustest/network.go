// Package consensustest owns a network in memory for tests of what rests on
// consensus: nodes can be cut off from the others and healed. It is never
// compiled into the product.
package consensustest

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
)

// Network connects the nodes of a test. The zero Network has no nodes.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*raft.InmemTransport
	cut   map[string]bool
}

// rpcTimeout bounds one exchange in memory.
const rpcTimeout = 500 * time.Millisecond

// Transport gives the node at an address its transport; a node that restarts
// gets a new one.
func (n *Network) Transport(address string) consensus.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes == nil {
		n.nodes, n.cut = map[string]*raft.InmemTransport{}, map[string]bool{}
	}
	if old := n.nodes[address]; old != nil {
		n.part(address)
	}
	_, t := raft.NewInmemTransportWithTimeout(raft.ServerAddress(address), rpcTimeout)
	n.nodes[address] = t
	n.join(address)
	return consensus.Transport{Raft: t, Close: func() error { n.Remove(address, t); return t.Close() }}
}

// Remove takes a node that has stopped out.
func (n *Network) Remove(address string, t raft.Transport) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[address] == t {
		n.part(address)
		delete(n.nodes, address)
	}
}

// Isolate cuts a node off from all others, in both directions.
func (n *Network) Isolate(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[address] = true
	n.part(address)
}

// Heal connects a node with all others that are not isolated.
func (n *Network) Heal(address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[address] = false
	n.join(address)
}

func (n *Network) part(address string) {
	for other, t := range n.nodes {
		t.Disconnect(raft.ServerAddress(address))
		n.nodes[address].Disconnect(raft.ServerAddress(other))
	}
}

func (n *Network) join(address string) {
	for other, t := range n.nodes {
		if n.cut[address] || n.cut[other] {
			continue
		}
		t.Connect(raft.ServerAddress(address), n.nodes[address])
		n.nodes[address].Connect(raft.ServerAddress(other), t)
	}
}
