package standalone

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// edited gives the file's text if somebody else changed it, else nil.
func (m *Model) edited() ([]byte, error) {
	data, err := os.ReadFile(m.config.File)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the configuration: %w", err)
	}
	if bytes.Equal(data, m.text) {
		return nil, nil
	}
	return data, nil
}

// reread takes over what somebody wrote into the file by hand, as a revision.
func (m *Model) reread(ctx context.Context, s Server) error {
	data, err := m.edited()
	if err != nil || data == nil {
		return err
	}
	next, err := parse(m.config.File, data)
	if err == nil {
		err = s.Check(next)
	}
	if err != nil {
		return err
	}
	m.text = data
	if changes := profiles.Diff(m.Tree(), next); len(changes) > 0 {
		m.keep(next, changes, "file", "edited by hand")
		return s.Configure(context.WithoutCancel(ctx), next)
	}
	return nil
}

// save writes the file, unless somebody else did: their work would be lost.
func (m *Model) save(op profiles.Operation, next profiles.Tree) error {
	edited, err := m.edited()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if edited != nil && op.Name != "apply" {
		return problem.WithHint(problem.Conflict.Errorf("cannot run %s: %s was edited by hand since the server read it", op.Name, m.config.File),
			"take it over with :reload, or replace it with apply -f")
	}
	text := profiles.EncodeTOML(next)
	if err := write(m.config.File, text); err != nil {
		return err
	}
	m.text = text
	return nil
}

// write replaces the file in one step, so that a crash leaves the old or the new.
func write(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600: it may hold secrets
	if err != nil {
		return problem.Internal.Errorf("cannot write the configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return problem.Internal.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
