// Package standalone is the management model of a server without a domain: one
// TOML file. It validates, writes and tells of changes; its history lasts as
// long as the process. It must not know what a server does with its
// configuration, nor who may change it.
package standalone

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Config says which file.
type Config struct {
	// File is read at the start and at each reload, and replaced with each
	// change. Where there is none, one with the defaults is written.
	File string
	// Logs is the folder of the server's log files; "" for none.
	Logs  string
	Clock clock.Clock
}

// Server is what runs from the file.
type Server interface {
	// Check refuses a tree that the server could not read.
	Check(profiles.Tree) error
	// Configure takes over what changes live; State tells what the rest needs.
	Configure(context.Context, profiles.Tree) error
	// Reload starts the services anew and returns when they are ready.
	Reload(context.Context) error
	// Suspend takes no new requests from now on, and waits until those inside are
	// done, for limit at the most (0: a time of its own).
	Suspend(ctx context.Context, limit time.Duration) error
	// Resume takes requests again.
	Resume(context.Context) error
	// Shutdown stops the process, and starts it again with restart; it does not
	// wait.
	Shutdown(restart bool)
	// State is running, reload-required, restart-required, starting or stopping;
	// suspension is RUNNING, SUSPENDING or SUSPENDED.
	State() (state, suspension string)
}

// Model is an api.Model over a file. It is safe for concurrent use.
type Model struct {
	config Config

	changing sync.Mutex // held during a change: the server hears of them in order
	text     []byte     // what the file holds as far as is known; with changing

	mu        sync.Mutex
	server    Server
	trees     []profiles.Tree // by revision; the first is what the process began with
	revisions []revision
}

type revision struct {
	Revision uint64             `json:"revision"`
	Time     time.Time          `json:"time"`
	Author   string             `json:"author"`
	Comment  string             `json:"comment,omitempty"`
	Changes  profiles.ChangeSet `json:"changes"`
}

// Open reads the file.
func Open(c Config) (*Model, error) {
	data, err := os.ReadFile(c.File)
	if errors.Is(err, fs.ErrNotExist) {
		data = profiles.DefaultTOML(profiles.Standalone)
		err = write(c.File, data)
	}
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the configuration: %w", err)
	}
	tree, err := parse(c.File, data)
	if err != nil {
		return nil, err
	}
	return &Model{config: c, text: data, trees: []profiles.Tree{tree}}, nil
}

// Drive tells a server of every change from now on. Without one nothing runs,
// and only the file changes.
func (m *Model) Drive(s Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.server = s
}

// Tree implements api.Model.
func (m *Model) Tree() profiles.Tree {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trees[len(m.trees)-1]
}

// Follow implements api.Model: nothing takes time but a log that grows.
func (m *Model) Follow(ctx context.Context, caller access.Caller, op profiles.Operation, emit func(any) error) (api.Response, error) {
	if op.Name == "read-log-file" && op.Params["follow"] == true {
		return m.followLog(ctx, op, emit)
	}
	return m.Execute(ctx, caller, op)
}

// Execute implements api.Model.
func (m *Model) Execute(ctx context.Context, caller access.Caller, op profiles.Operation) (api.Response, error) {
	response, err := m.carryOut(ctx, caller, op)
	if s := m.driven(); s != nil {
		if state, _ := s.State(); state != "running" {
			if response.Headers == nil {
				response.Headers = map[string]any{}
			}
			response.Headers["process-state"] = state
		}
	}
	return response, err
}

func (m *Model) carryOut(ctx context.Context, caller access.Caller, op profiles.Operation) (api.Response, error) {
	response := api.Response{Revision: m.revision()}
	var err error
	if ours(op) {
		if op.Params, err = profiles.Standalone.Parameters(op); err != nil {
			return response, err
		}
	}
	if op.Name == "list-log-files" || op.Name == "read-log-file" {
		response.Result, err = m.logFiles(op)
		return response, err
	}
	if len(op.Address) == 0 {
		switch op.Name {
		case "reload", "shutdown", "suspend", "resume":
			err := m.command(ctx, op)
			response.Revision = m.revision()
			return response, err
		case "history":
			response.Result = m.history()
			return response, nil
		case "read-config-as-toml":
			tree, err := m.at(op, "revision", response.Revision)
			response.Result = string(profiles.EncodeTOML(tree))
			return response, err
		case "diff":
			return m.diff(op, response)
		case "read-resource":
			response, err := m.change(ctx, caller, op, response)
			if members, ok := response.Result.(map[string]any); ok && op.Params["include-runtime"] == true {
				maps.Copy(members, m.runtime())
			}
			return response, err
		case "read-attribute":
			if value, ok := m.runtime()[name(op)]; ok {
				response.Result = value
				return response, nil
			}
		}
	}
	if !op.ReadOnly() { // who reads does not wait for a reload
		m.changing.Lock()
		defer m.changing.Unlock()
		response.Revision = m.revision()
	}
	return m.change(ctx, caller, op, response)
}

func name(op profiles.Operation) string { s, _ := op.Params["name"].(string); return s }

// runtime are the attributes of the root that are known while a server runs.
func (m *Model) runtime() map[string]any {
	s := m.driven()
	if s == nil {
		return nil
	}
	state, suspension := s.State()
	return map[string]any{"server-state": state, "suspend-state": suspension}
}

func (m *Model) driven() Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.server
}

func (m *Model) revision() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.trees) - 1)
}

// history is the newest first.
func (m *Model) history() []revision {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.revisions)
	slices.Reverse(list)
	return list
}

// command is one to the server itself.
func (m *Model) command(ctx context.Context, op profiles.Operation) error {
	s := m.driven()
	switch {
	case s == nil:
		return problem.Precondition.Errorf("cannot %s: no server runs from this file", op.Name)
	case op.Name == "resume":
		return s.Resume(ctx)
	case op.Name == "suspend":
		return s.Suspend(ctx, seconds(op, "suspend-timeout"))
	case op.Name == "shutdown":
		if limit := seconds(op, "suspend-timeout"); limit > 0 {
			if err := s.Suspend(ctx, limit); err != nil && !problem.Is(err, problem.Timeout) {
				return err
			}
		}
		s.Shutdown(op.Params["restart"] == true)
		return nil
	}
	m.changing.Lock() // a change during a reload would be told to nobody
	defer m.changing.Unlock()
	if err := m.reread(ctx, s); err != nil {
		return err
	}
	return s.Reload(ctx)
}

// ours reports whether an operation is not one of the tree.
func ours(op profiles.Operation) bool {
	d, err := profiles.Standalone.Describe(op.Address)
	return err == nil && slices.ContainsFunc(d.Operations, func(o profiles.OperationDescription) bool { return o.Name == op.Name })
}

func seconds(op profiles.Operation, name string) time.Duration {
	n, _ := op.Params[name].(int64)
	return time.Duration(n) * time.Second
}

func running(s Server) bool {
	state, _ := s.State()
	return state == "running"
}

// keep makes a tree the newest.
func (m *Model) keep(next profiles.Tree, changes profiles.ChangeSet, author, comment string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revisions = append(m.revisions, revision{uint64(len(m.trees)), m.config.Clock.Now().UTC(), author, comment, changes})
	m.trees = append(m.trees, next)
}

// at gives the tree of the revision that a parameter names.
func (m *Model) at(op profiles.Operation, name string, otherwise uint64) (profiles.Tree, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	number, given := op.Params[name].(int64)
	if !given {
		number = int64(otherwise)
	}
	if number < 0 || number >= int64(len(m.trees)) {
		return profiles.New(profiles.Standalone), problem.NotFound.Errorf("cannot find revision %d: this process has 0 to %d", number, len(m.trees)-1)
	}
	return m.trees[number], nil
}

func (m *Model) diff(op profiles.Operation, response api.Response) (api.Response, error) {
	to, err := m.at(op, "to", response.Revision)
	if err != nil {
		return response, err
	}
	if text, ok := op.Params["toml"].(string); ok {
		wanted, err := parse("standalone.toml", []byte(text))
		response.Result = profiles.Diff(to, wanted)
		return response, err
	}
	from, err := m.at(op, "from", max(response.Revision, 1)-1)
	response.Result = profiles.Diff(from, to)
	return response, err
}

func parse(name string, text []byte) (profiles.Tree, error) {
	tree, err := profiles.ParseTOML(name, text)
	if err == nil && tree.Mode() != profiles.Standalone {
		err = problem.Invalid.Errorf("cannot use %s for a standalone server: it configures a %s", name, tree.Mode())
	}
	if err != nil {
		return profiles.New(profiles.Standalone), err
	}
	return tree, nil
}

// change runs an operation of the tree and, when it changed it, writes the file
// and tells the server.
func (m *Model) change(ctx context.Context, caller access.Caller, op profiles.Operation, response api.Response) (api.Response, error) {
	tree, server := m.Tree(), m.driven()
	next, result, err := m.next(tree, op)
	if err != nil {
		return response, err
	}
	changes := profiles.Diff(tree, next)
	if len(changes) > 0 && server != nil {
		if err := server.Check(next); err != nil {
			return response, err
		}
	}
	if dry, _ := op.Headers["dry-run"].(bool); dry && len(changes) > 0 {
		response.Result = map[string]any{"changes": changes, "effect": changes.Effect(), "servers": []any{}}
		return response, nil
	}
	if want, ok := op.Headers["expect-revision"].(int64); ok && uint64(want) != response.Revision {
		return response, problem.Precondition.Errorf("cannot run %s: the configuration is at revision %d, not %d: see :history", op.Name, response.Revision, want)
	}
	response.Result = result
	if len(changes) == 0 {
		return response, nil
	}
	if err := m.save(op, next); err != nil {
		return response, err
	}
	comment, _ := op.Headers["comment"].(string)
	m.keep(next, changes, caller.Name, comment)
	response.Revision++
	effect := changes.Effect()
	if server != nil {
		// The file is changed, whether the caller still waits or not.
		if err := server.Configure(context.WithoutCancel(ctx), next); err != nil {
			return response, err
		}
		if effect > profiles.Live && running(server) {
			effect = profiles.Live // nothing that this server uses: a flag goes before it
		}
	}
	if effect > profiles.Live {
		response.Headers = map[string]any{"operation-requires-" + effect.String(): true, "process-state": effect.String() + "-required"}
	}
	return response, nil
}

// next is the tree that an operation wants.
func (m *Model) next(tree profiles.Tree, op profiles.Operation) (profiles.Tree, any, error) {
	switch {
	case len(op.Address) > 0:
	case op.Name == "apply":
		text, _ := op.Params["toml"].(string)
		next, err := parse("standalone.toml", []byte(text))
		return next, nil, err
	case op.Name == "revert":
		if _, given := op.Params["to"]; !given {
			return tree, nil, problem.Invalid.Errorf("cannot revert: parameter to is missing (for example :revert(to=3))")
		}
		next, err := m.at(op, "to", 0)
		return next, nil, err
	}
	next, _, result, err := profiles.Apply(tree, op)
	return next, result, err
}
