package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// fileTarget edits a TOML file: every change is validated as a controller does
// and written at once.
type fileTarget struct {
	path string
	tree profiles.Tree
}

// openFile reads the file, or begins with the defaults of the mode when there
// is none; it appears with the first change.
func openFile(path string, mode profiles.Mode) (*fileTarget, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		tree, err := profiles.Default(mode)
		return &fileTarget{path, tree}, err
	}
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the configuration: %w", err)
	}
	tree, err := profiles.ParseTOML(path, data)
	if err != nil {
		return nil, err
	}
	if tree.Mode() != mode {
		return nil, problem.Invalid.Errorf("cannot edit %s as a %s configuration: it is a %s one", path, mode, tree.Mode())
	}
	return &fileTarget{path, tree}, nil
}

// Execute implements Target.
func (f *fileTarget) Execute(_ context.Context, op profiles.Operation) (client.Response, error) {
	result, err := f.run(op)
	body := map[string]any{"outcome": "success"}
	if err != nil {
		body = map[string]any{
			"outcome": "failed", "failure-description": err.Error(), "failure-kind": problem.KindOf(err).String(), "rolled-back": true,
		}
	} else if result != nil {
		if result, err = plain(result); err != nil {
			return client.Response{}, err
		}
		body["result"] = result
	}
	return client.Response{Result: body["result"], Body: body}, err
}

func (f *fileTarget) run(op profiles.Operation) (any, error) {
	switch op.Name {
	case "whoami":
		return map[string]any{"identity": map[string]any{"username": "embedded"}}, nil
	case "read-config-as-toml":
		return string(profiles.EncodeTOML(f.tree)), nil
	case "history", "revert", "rollouts":
		return nil, problem.Unsupported.Errorf("cannot run %s on a file: only a running domain has a history", op.Name)
	case "apply", "diff":
		return f.compare(op)
	}
	next, changes, result, err := profiles.Apply(f.tree, op)
	if err != nil || len(changes) == 0 {
		return result, err
	}
	return f.change(op, next, changes, result)
}

// compare diffs the file that is edited with another one, and takes its
// content for apply.
func (f *fileTarget) compare(op profiles.Operation) (any, error) {
	text, _ := op.Params["toml"].(string)
	name, _ := op.Params["file"].(string)
	next, err := profiles.ParseTOML(name, []byte(text))
	if err != nil {
		return nil, err
	}
	changes := profiles.Diff(f.tree, next)
	if op.Name == "diff" {
		return changes, nil
	}
	return f.change(op, next, changes, nil)
}

func (f *fileTarget) change(op profiles.Operation, next profiles.Tree, changes profiles.ChangeSet, result any) (any, error) {
	if dry, _ := op.Headers["dry-run"].(bool); dry {
		return map[string]any{"changes": changes, "effect": changes.Effect(), "servers": []any{}}, nil
	}
	if err := f.write(next); err != nil {
		return nil, err
	}
	f.tree = next
	return result, nil
}

// write replaces the file in one step.
func (f *fileTarget) write(tree profiles.Tree) error {
	tmp, err := os.CreateTemp(filepath.Dir(f.path), "."+filepath.Base(f.path)+"-*")
	if err != nil {
		return problem.Internal.Errorf("cannot write the configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(profiles.EncodeTOML(tree))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		return problem.Internal.Errorf("cannot write %s: %w", f.path, err)
	}
	return nil
}

// Follow implements Target: nothing on a file takes time.
func (f *fileTarget) Follow(ctx context.Context, op profiles.Operation, _ func(any) error) (client.Response, error) {
	return f.Execute(ctx, op)
}

// Close implements Target; every change is in the file already.
func (f *fileTarget) Close() error { return nil }

// plain gives a value in JSON's kinds, as if it came over the wire.
func plain(value any) (out any, err error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encode the result: %w", err)
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	err = d.Decode(&out)
	return out, err
}

// embedded is what the prompt calls a file that is edited.
const embedded = "embedded"

func (s *Session) embed(command, arguments, option, standard string, mode profiles.Mode) error {
	flags, _, err := options(command, arguments, option+"=", "-c=", "--std-out=", "--admin-only=", "--jboss-home=", "--empty-config", "--remove-existing")
	if err != nil {
		return err
	}
	name := flags[option]
	if name == "" {
		name = flags["-c"]
	}
	if name == "" {
		name = standard
	}
	// The guide names WildFly's files; ours of the same name are TOML.
	if base, ok := strings.CutSuffix(name, ".xml"); ok {
		name = base + ".toml"
	}
	file, err := openFile(s.path(name), mode)
	if err != nil {
		return err
	}
	return s.Use(Connection{Target: file, Label: embedded, Mode: mode})
}

func (s *Session) embedServer(_ context.Context, arguments string) error {
	return s.embed("embed-server", arguments, "--server-config", "standalone.toml", profiles.Standalone)
}

func (s *Session) embedDomain(_ context.Context, arguments string) error {
	return s.embed("embed-host-controller", arguments, "--domain-config", "domain.toml", profiles.Domain)
}

func (s *Session) stopEmbedded(context.Context, string) error {
	if s.target == nil || s.target.Label != embedded {
		return problem.Precondition.Errorf("cannot stop: no file is being edited")
	}
	return s.disconnect()
}
