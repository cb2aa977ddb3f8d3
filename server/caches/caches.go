// Package caches owns what servers of a site remember besides the database:
// Local caches of what is in it, Work that keeps them coherent across servers,
// and Distributed, the in-memory store whose entries survive the crash of a
// server. DESIGN.md says what each guarantees and what not.
//
// It knows no realm, user or session: keys are strings or the caller's, values
// are bytes or the caller's. Servers are reached through a Mesh.
package caches

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// Mesh is what the caches need of the cluster; *cluster.Node is one, and Alone
// is one for a server without a cluster.
type Mesh interface {
	Self() cluster.Member
	View() (view cluster.View, changed <-chan struct{})
	Handle(name string, h cluster.Handler)
	Call(ctx context.Context, node, name string, payload []byte) ([]byte, error)
}

// Alone is the Mesh of a server that is not in a cluster.
type Alone struct{ Member cluster.Member }

// Self implements Mesh.
func (a Alone) Self() cluster.Member { return a.Member }

// View implements Mesh: one member, for ever.
func (a Alone) View() (cluster.View, <-chan struct{}) {
	return cluster.View{Members: []cluster.Member{a.Member}}, nil
}

// Handle implements Mesh: nobody calls.
func (a Alone) Handle(string, cluster.Handler) {}

// Call implements Mesh: there is nobody to call.
func (a Alone) Call(_ context.Context, node, name string, _ []byte) ([]byte, error) {
	return nil, unreachable(node, name)
}

func unreachable(node, name string) error {
	return problem.Unavailable.Errorf("cannot call %s on %s: this server is in no cluster", name, node)
}
