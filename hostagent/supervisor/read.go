package supervisor

import (
	"context"
	"path/filepath"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// How a followed log is read.
const (
	followEvery = 200 * time.Millisecond
	followPiece = 64 << 10
)

// ReadLog gives the last lines of a server's standard output and error to
// emit and, with follow, goes on with what is added until ctx ends or emit
// fails. Pieces need not end at a line's end.
func (s *Supervisor) ReadLog(ctx context.Context, name string, lines int, follow bool, emit func([]byte) error) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	text, position, err := v.log.tail(lines)
	if err != nil {
		return problem.Internal.Errorf("cannot read the log of server %q: %w", name, err)
	}
	if len(text) > 0 {
		if err := emit(text); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	tick := s.config.Clock.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if text, position, err = v.log.since(position, followPiece); err != nil {
			return problem.Internal.Errorf("cannot read the log of server %q: %w", name, err)
		}
		if len(text) > 0 {
			if err := emit(text); err != nil {
				return err
			}
			continue
		}
		select {
		case <-tick.C:
		case <-v.done:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// LogDir is the folder of a server's log files.
func (s *Supervisor) LogDir(name string) (string, error) {
	v, err := s.find(name)
	if err != nil {
		return "", err
	}
	return filepath.Dir(v.log.path), nil
}
