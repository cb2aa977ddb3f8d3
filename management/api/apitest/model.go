// Package apitest is a management model in memory, for the tests of what serves
// it and of what speaks to it. It keeps one tree, applies operations with
// profiles.Apply and has a history, as a controller does, without a cluster.
package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Model is an api.Model. It is safe for concurrent use.
type Model struct {
	mu        sync.Mutex
	trees     []profiles.Tree // by revision
	revisions []revision
	refuse    error
	// Logs are what read-log answers, by server.
	Logs map[string]string
}

type revision struct {
	Revision uint64             `json:"revision"`
	Time     string             `json:"time"`
	Author   string             `json:"author"`
	Comment  string             `json:"comment,omitempty"`
	Changes  profiles.ChangeSet `json:"changes"`
}

// NewModel begins with a tree as revision 0.
func NewModel(tree profiles.Tree) *Model {
	return &Model{trees: []profiles.Tree{tree}, Logs: map[string]string{}}
}

// Refuse makes every operation fail with err from now on; nil ends that.
func (m *Model) Refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// Tree implements api.Model.
func (m *Model) Tree() profiles.Tree {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trees[len(m.trees)-1]
}

// Execute implements api.Model.
func (m *Model) Execute(_ context.Context, caller access.Caller, op profiles.Operation) (api.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return api.Response{}, m.refuse
	}
	return m.run(caller, op)
}

// Follow implements api.Model: a rollout of two servers, or a log.
func (m *Model) Follow(ctx context.Context, caller access.Caller, op profiles.Operation, emit func(any) error) (api.Response, error) {
	response, err := m.Execute(ctx, caller, op)
	if err != nil {
		return response, err
	}
	if op.Name == "read-log" {
		server := op.Address.Last().Name
		return response, emit(map[string]any{"host": op.Address[0].Name, "server": server, "log": m.Logs[server]})
	}
	for i, server := range []string{"server-one", "server-two"} {
		if err := emit(map[string]any{"done": i + 1, "total": 2, "server": server, "phase": "restarted"}); err != nil {
			return response, err
		}
	}
	return response, nil
}

func (m *Model) run(caller access.Caller, op profiles.Operation) (api.Response, error) {
	at := uint64(len(m.trees) - 1)
	response := api.Response{Revision: at}
	number := func(name string, otherwise uint64) uint64 {
		if n, ok := op.Params[name].(int64); ok {
			return uint64(n)
		}
		return otherwise
	}
	switch op.Name {
	case "history":
		list := slices.Clone(m.revisions)
		slices.Reverse(list)
		response.Result = list
		return response, nil
	case "read-config-as-toml":
		response.Result = string(profiles.EncodeTOML(m.trees[number("revision", at)]))
		return response, nil
	case "diff":
		if text, ok := op.Params["toml"].(string); ok {
			tree, err := profiles.ParseTOML("domain.toml", []byte(text))
			response.Result = profiles.Diff(m.trees[at], tree)
			return response, err
		}
		response.Result = profiles.Diff(m.trees[number("from", at)], m.trees[number("to", at)])
		return response, nil
	case "add-host":
		response.Result = map[string]any{"name": op.Params["name"], "token": fmt.Sprintf("token-of-%v", op.Params["name"])}
		return response, nil
	case "rolling-restart", "read-log":
		return response, nil
	}
	if len(op.Address) == 2 && op.Address[1].Type == "server" {
		response.Result = m.servers(op.Address)
		return response, nil
	}
	return m.change(caller, op, response, number)
}

// servers answers for what runs: every configured server does.
func (m *Model) servers(at profiles.Address) any {
	list := []any{}
	tree := m.trees[len(m.trees)-1]
	for _, host := range tree.Names(nil, "host") {
		of := profiles.Address{{Type: "host", Name: host}}
		for _, name := range tree.Names(of, "server-config") {
			server := of.Child("server", name)
			if !at.Matches(server) {
				continue
			}
			group := tree.Value(of.Child("server-config", name), "group")
			list = append(list, map[string]any{"address": server, "outcome": "success", "result": map[string]any{"name": name, "server-group": group}})
		}
	}
	return list
}

func (m *Model) change(caller access.Caller, op profiles.Operation, response api.Response, number func(string, uint64) uint64) (api.Response, error) {
	tree := m.trees[len(m.trees)-1]
	var err error
	next := tree
	switch op.Name {
	case "apply":
		text, _ := op.Params["toml"].(string)
		next, err = profiles.ParseTOML("domain.toml", []byte(text))
	case "revert":
		next = m.trees[number("to", 0)]
	default:
		next, _, response.Result, err = profiles.Apply(tree, op)
	}
	if err != nil {
		return api.Response{}, err
	}
	changes := profiles.Diff(tree, next)
	if dry, _ := op.Headers["dry-run"].(bool); dry {
		response.Result = map[string]any{"changes": changes, "effect": changes.Effect(), "servers": []any{}}
		return response, nil
	}
	if want, ok := op.Headers["expect-revision"].(int64); ok && uint64(want) != response.Revision {
		return api.Response{}, m.stale(uint64(want), response.Revision)
	}
	if len(changes) == 0 {
		return response, nil
	}
	comment, _ := op.Headers["comment"].(string)
	m.trees = append(m.trees, next)
	response.Revision++
	m.revisions = append(m.revisions, revision{response.Revision, "2026-01-02T03:04:05Z", caller.Name, comment, changes})
	return response, nil
}

func (m *Model) stale(want, have uint64) error {
	var between strings.Builder
	for _, r := range m.revisions {
		if r.Revision > want {
			fmt.Fprintf(&between, "\nrevision %d by %s:\n%s", r.Revision, r.Author, r.Changes)
		}
	}
	return problem.Precondition.Errorf("cannot run it: the domain is at revision %d, not %d; changed in between:%s", have, want, between.String())
}
