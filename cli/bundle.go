package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// supportBundle is the command of that name.
func (s *Session) supportBundle(ctx context.Context, arguments string) error {
	flags, rest, err := options("support-bundle", arguments, "--host=")
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return problem.Invalid.Errorf("cannot write a support bundle to %d files: want support-bundle [FILE] [--host=HOST]", len(rest))
	}
	op := profiles.Operation{Name: "support-bundle", Params: map[string]any{}}
	if host := flags["--host"]; host != "" {
		op.Address = profiles.Address{{Type: "host", Name: host}}
	}
	if len(rest) == 1 {
		op.Params["file"] = rest[0]
	}
	return s.fetchBundle(ctx, op)
}

// fetchBundle runs :support-bundle and writes what it streams to a file on this
// machine. A file that is there already is not overwritten; one that could not
// be fetched whole is removed.
func (s *Session) fetchBundle(ctx context.Context, op profiles.Operation) error {
	if err := s.connected(ctx); err != nil {
		return err
	}
	file, _ := op.Params["file"].(string)
	op.Params = nil // the file is ours
	dir := s.path(".")
	if file != "" {
		file = s.path(file)
		dir = filepath.Dir(file)
		if _, err := os.Lstat(file); err == nil {
			return problem.Conflict.Errorf("cannot write the support bundle: %s exists", file)
		}
	}
	tmp, err := os.CreateTemp(dir, ".support-bundle-*")
	if err != nil {
		return problem.Invalid.Errorf("cannot write the support bundle: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	sum := sha256.New()
	response, err := s.target.Follow(ctx, s.withHeaders(op), func(event any) error {
		var piece struct {
			Chunk []byte `json:"chunk"`
		}
		if err := into(event, &piece); err != nil {
			return err
		}
		_, err := io.MultiWriter(tmp, sum).Write(piece.Chunk)
		return err
	})
	closed := tmp.Close()
	if err != nil {
		return s.print(response, err)
	}
	if closed != nil {
		return problem.Internal.Errorf("cannot write the support bundle: %w", closed)
	}
	return s.keepBundle(response, tmp.Name(), file, hex.EncodeToString(sum.Sum(nil)))
}

// keepBundle checks what was fetched and gives it its name.
func (s *Session) keepBundle(response client.Response, fetched, file, sum string) error {
	var about struct {
		Name     string   `json:"name"`
		Bytes    int64    `json:"bytes"`
		SHA256   string   `json:"sha256"`
		Problems []string `json:"problems"`
	}
	if err := into(response.Result, &about); err != nil {
		return err
	}
	if about.SHA256 != sum {
		return problem.Unavailable.Errorf("cannot write the support bundle: it did not arrive whole; try again")
	}
	if file == "" {
		file = s.path(filepath.Base(about.Name))
	}
	// Link, not rename: it refuses what came there meanwhile.
	if err := os.Link(fetched, file); err != nil {
		return problem.Invalid.Errorf("cannot write the support bundle: %w", err)
	}
	for _, p := range about.Problems {
		fmt.Fprintln(s.settings.Err, "not in it:", p)
	}
	if s.settings.Format == JSON {
		return s.printJSON(map[string]any{"file": file, "bytes": about.Bytes, "problems": about.Problems})
	}
	fmt.Fprintf(s.settings.Out, "wrote %s (%d bytes)\n", file, about.Bytes)
	return nil
}
