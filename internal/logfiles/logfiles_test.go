package logfiles_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logfiles"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func put(t interface{ Fatal(...any) }, path, text string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z := gzip.NewWriter(f)
		_, err = z.Write([]byte(text))
		err = errors.Join(err, z.Close())
	} else {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestLinesAreThoseThatAreAskedForPlainAndCompressed(t *testing.T) {
	dir := folder(t)
	rapid.Check(t, func(t *rapid.T) {
		lines := []string{}
		for i := range rapid.SampledFrom([]int{0, 1, 3, 50, 1500}).Draw(t, "lines") {
			lines = append(lines, fmt.Sprint("line ", i, strings.Repeat("x", rapid.SampledFrom([]int{0, 1, 90}).Draw(t, "width"))))
		}
		text := strings.Join(lines, "\n")
		if len(lines) > 0 && rapid.Bool().Draw(t, "ended") {
			text += "\n"
		}
		q := logfiles.Query{Lines: rapid.IntRange(-1, 60).Draw(t, "n"), Skip: rapid.IntRange(0, 60).Draw(t, "skip"), Tail: rapid.Bool().Draw(t, "tail")}
		want := lines
		if q.Tail {
			want = want[:max(0, len(want)-q.Skip)]
			if q.Lines >= 0 {
				want = want[max(0, len(want)-q.Lines):]
			}
		} else {
			want = want[min(len(want), q.Skip):]
			if q.Lines >= 0 {
				want = want[:min(len(want), q.Lines)]
			}
		}
		for _, name := range []string{"server.log", "server.log.1.gz"} {
			put(t, filepath.Join(dir, name), text)
			got, _, err := logfiles.Read(dir, name, q)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s %+v of %d: %d lines, want %d: %v", name, q, len(lines), len(got), len(want), err)
			}
		}
	})
}

func TestNoNameLeadsOutOfTheFolder(t *testing.T) {
	dir := folder(t)
	secret := filepath.Join(filepath.Dir(dir), "secret")
	put(t, secret, "secret\n")
	put(t, filepath.Join(dir, "server.log"), "here\n")
	for _, link := range []string{"link.log", "up.log"} {
		target := map[string]string{"link.log": secret, "up.log": "../secret"}[link]
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../secret", "/etc/passwd", secret, "a/../../secret", `..\secret`, "link.log", "up.log", "folder.log", "server.log\x00", "none.log"} {
		if lines, _, err := logfiles.Read(dir, name, logfiles.Query{Lines: 5}); err == nil || problem.KindOf(err) == problem.Internal {
			t.Errorf("%q gave %q, %v", name, lines, err)
		}
	}
	list, err := logfiles.List(dir)
	if err != nil || len(list) != 1 || list[0].Name != "server.log" || list[0].Bytes != 5 {
		t.Errorf("listed %+v, %v", list, err)
	}
	if list, err := logfiles.List(filepath.Join(dir, "none")); err != nil || len(list) != 0 {
		t.Errorf("no folder: %v, %v", list, err)
	}
}

func TestAFollowedFileGoesOnAfterItsRotation(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "server.log")
	put(t, path, "one\n")
	_, position, err := logfiles.Read(dir, "server.log", logfiles.Query{Lines: 1, Tail: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	pieces, ended := make(chan string, 16), make(chan error, 1)
	go func() {
		ended <- logfiles.Follow(ctx, clock.Real(), dir, "server.log", position, func(p []byte) error { pieces <- string(p); return nil })
	}()
	next := func(want string) {
		t.Helper()
		got := ""
		for got != want {
			select {
			case p := <-pieces:
				got += p
			case <-ctx.Done():
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("two\n"); err != nil {
		t.Fatal(err)
	}
	next("two\n")
	if err := errors.Join(f.Close(), os.Rename(path, path+".1")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "fresh"), "three is longer than what was there before\n")
	if err := os.Rename(filepath.Join(dir, "fresh"), path); err != nil {
		t.Fatal(err)
	}
	next("three is longer than what was there before\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := logfiles.Follow(t.Context(), clock.Real(), dir, "server.log.1.gz", 0, nil); !problem.Is(err, problem.Invalid) {
		t.Errorf("a compressed one: %v", err)
	}
}
