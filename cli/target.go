// Package cli is the command line of the management interface: commands,
// scripts, batches, completion and the offline editing of files. It sees the
// management API's client and the nouns. It must not know a wing: what it does,
// any client can do.
package cli

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Target is what operations are run against: a controller, a standalone server,
// or a file that is edited offline.
type Target interface {
	// Execute runs one operation. A failed one gives a response with its body
	// and an error of the failure's kind.
	Execute(ctx context.Context, op profiles.Operation) (client.Response, error)
	// Follow runs an operation whose answer is a stream of events.
	Follow(ctx context.Context, op profiles.Operation, emit func(event any) error) (client.Response, error)
	Close() error
}

// Connection is a target with the name that the prompt shows.
type Connection struct {
	Target
	// Label is where it is: "localhost:9990", "embedded".
	Label string
	Mode  profiles.Mode
}

// Connect makes connections to the addresses given; none means the default.
type Connect func(ctx context.Context, addresses []string) (Connection, error)

// NewConnection names a target, asking it for its mode.
func NewConnection(ctx context.Context, t Target, label string) (Connection, error) {
	response, err := t.Execute(ctx, profiles.Operation{Name: "read-children-types"})
	if err != nil {
		return Connection{}, err
	}
	mode := profiles.Standalone
	if types, ok := response.Result.([]any); ok {
		for _, typ := range types {
			if typ == "server-group" {
				mode = profiles.Domain
			}
		}
	}
	return Connection{Target: t, Label: label, Mode: mode}, nil
}
