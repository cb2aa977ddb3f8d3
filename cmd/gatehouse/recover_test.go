package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestRecoverSaysTheWayBackAndRefusesAnEmptyFolder(t *testing.T) {
	if code, out, _ := gatehouse(t, "", "controller", "recover", "--help"); code != 0 || !strings.Contains(out, "highest term") || !strings.Contains(out, "--inspect") {
		t.Errorf("help: exit %d\n%s", code, out)
	}
	for _, args := range [][]string{{"--dir", t.TempDir()}, {"--inspect", "--dir", t.TempDir()}} {
		code, _, errs := gatehouse(t, "", append([]string{"controller", "recover"}, args...)...)
		if code != problem.NotFound.Exit() || !strings.Contains(errs, "there is no controller in") {
			t.Errorf("recover %v: exit %d, %s", args, code, errs)
		}
	}
}

func TestTheControllerRunsWithoutASubcommandAndIsRecoveredByIts(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	founded := make(chan struct{})
	seen := &watcher{text: "ready", found: founded}
	go func() { <-founded; cancel() }()
	code := run(ctx, Env{Args: []string{"controller", "--dir", dir, "--name", "c1", "--native", "127.0.0.1:0", "--http", "127.0.0.1:0", "--raft", "127.0.0.1:0"},
		Stdout: seen, Stderr: seen, Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }, Clock: clock.Real()})
	if code != 0 {
		t.Fatalf("exit %d: %s", code, seen.all.String())
	}
	if code, out, errs := gatehouse(t, "", "controller", "recover", "--inspect", "--dir", dir); code != 0 || !strings.Contains(out, "controller c1: log reaches term") {
		t.Errorf("inspect: exit %d, %s%s", code, out, errs)
	}
	if code, out, errs := gatehouse(t, "", "controller", "recover", "--dir", dir); code != 0 || !strings.Contains(out, "c1 is the only one of its domain now") {
		t.Errorf("recover: exit %d, %s%s", code, out, errs)
	}
}

// watcher closes found when a text was written.
type watcher struct {
	all   syncedBuffer
	text  string
	found chan struct{}
}

func (w *watcher) Write(p []byte) (int, error) {
	n, err := w.all.Write(p)
	if strings.Contains(w.all.String(), w.text) {
		w.all.once.Do(func() { close(w.found) })
	}
	return n, err
}

type syncedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	once sync.Once
}

func (s *syncedBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}
func (s *syncedBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }
