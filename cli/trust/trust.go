// Package trust remembers which authority a controller's certificate was of when
// a person first connected to it. It owns the file of known controllers and the
// question; it must not know how the operations are sent.
package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Answer is what a person says to an unknown controller.
type Answer int

// The answers.
const (
	No Answer = iota
	Once
	Always
)

// Known is the file of known controllers, one a line: address, blank,
// fingerprint of its authority. Its mode is 0600.
type Known struct{ Path string }

// Fingerprint is the authority of an address; "" when it is not known.
func (k Known) Fingerprint(address string) (string, error) {
	text, err := k.read()
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == address {
			return fields[1], nil
		}
	}
	return "", err
}

func (k Known) read() ([]byte, error) {
	text, err := os.ReadFile(k.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Invalid.Errorf("cannot read the known controllers: %w", err)
	}
	return text, nil
}

// Keep adds an address, or replaces what was kept of it. The file is replaced in
// one step.
func (k Known) Keep(address, fingerprint string) error {
	text, err := k.read()
	if err != nil {
		return err
	}
	var next strings.Builder
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) != 2 || fields[0] != address {
			next.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	fmt.Fprintf(&next, "%s %s\n", address, fingerprint)
	if err := k.write(next.String()); err != nil {
		return problem.Invalid.Errorf("cannot keep the controller %s as known: %w", address, err)
	}
	return nil
}

func (k Known) write(text string) error {
	if err := os.MkdirAll(filepath.Dir(k.Path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(k.Path), ".known-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), k.Path)
}

// Decide says whether the authority that an address shows is to be trusted: nil,
// or why not. A known one must be the same as ever. An unknown one is asked about;
// with ask nil nobody can be, and it is refused.
func (k Known) Decide(address, shown string, ask func(address, fingerprint string) (Answer, error)) error {
	kept, err := k.Fingerprint(address)
	switch {
	case err != nil:
		return err
	case kept == shown:
		return nil
	case kept != "":
		return problem.WithHint(problem.Unauthorized.Errorf("CANNOT TRUST %s: ITS AUTHORITY HAS CHANGED. It shows %s; known is %s. "+
			"Somebody may be reading what you send, or the domain was set up anew or its authority rotated", address, shown, kept),
			"ask who runs the domain; if the new one is right, remove the line of %s from %s", address, k.Path)
	case ask == nil:
		return problem.WithHint(problem.Invalid.Errorf("cannot connect to %s: its authority is not known (it shows %s)", address, shown),
			"compare that with what the controller prints, and give --fingerprint=%s or --ca-file; or connect once from a terminal", shown)
	}
	answer, err := ask(address, shown)
	switch {
	case err != nil:
		return err
	case answer == Always:
		return k.Keep(address, shown)
	case answer == Once:
		return nil
	}
	return problem.Unauthorized.Errorf("cannot connect to %s: its authority was not accepted", address)
}

// Read understands an answer; ok is false for what is none.
func Read(text string) (answer Answer, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "n", "no":
		return No, true
	case "o", "once", "t", "temporarily": // jboss-cli's T
		return Once, true
	case "a", "always", "p", "permanently", "y", "yes": // jboss-cli's P
		return Always, true
	}
	return No, false
}
