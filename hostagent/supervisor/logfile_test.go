package supervisor

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTailGivesTheLastLines(t *testing.T) {
	l := &logfile{path: filepath.Join(t.TempDir(), "server.log")}
	if text, _, err := l.tail(5); err != nil || text != nil {
		t.Fatalf("tail of no log = %q, %v", text, err)
	}
	var all strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&all, "line %d\n", i)
	}
	for _, end := range []string{"", "unfinished"} {
		if err := os.WriteFile(l.path, []byte(all.String()+end), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, 2, 50, 4999, 9000} {
			text, _, err := l.tail(n)
			lines := strings.Split(strings.TrimSuffix(all.String()+end, "\n"), "\n")
			want := strings.Join(lines[max(0, len(lines)-n):], "\n")
			if got := strings.TrimSuffix(string(text), "\n"); err != nil || got != want {
				t.Errorf("tail(%d) ends %q: %d bytes, want %d, %v", n, end, len(got), len(want), err)
			}
		}
	}
}

// Both ways of cutting keep every line of a server that writes meanwhile.
func TestRotationLosesNoLineOfARunningServer(t *testing.T) {
	timing := quick()
	timing.Rotate = time.Hour // only the test rotates
	s, _ := newTest(t, timing)
	spec := specOf(t, "one", "chatty")
	begin(t, s, spec)
	v, _ := s.find("one")
	size := func() int64 { info, _ := os.Stat(v.log.path); return info.Size() }
	const piece = 256 << 10
	rotations := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for rotations < 6 {
		<-tick.C
		if size() < piece {
			continue
		}
		pause := v.process.pause
		if rotations%2 == 0 {
			if err := v.log.rotate(piece/2, 20, pause); err != nil {
				t.Fatal(err)
			}
		} else if err := cutBy(v.log, pause); err != nil {
			t.Fatal(err)
		}
		rotations++
	}
	if err := s.Kill(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	next, partial := -1, "" // the first line says "server chatty"
	for i := rotations; i >= 0; i-- {
		next, partial = count(t, v.log.path, i, next, partial)
	}
	t.Logf("%d lines in %d files", next, rotations+1)
}

// cutBy rotates by the way for file systems that cannot cut by themselves.
func cutBy(l *logfile, pause func() func()) error {
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := l.cutPaused(f, l.path+".new.gz", pause); err != nil {
		return err
	}
	for i := 20; i >= 1; i-- {
		_ = os.Rename(fmt.Sprintf("%s.%d.gz", l.path, i), fmt.Sprintf("%s.%d.gz", l.path, i+1))
	}
	return os.Rename(l.path+".new.gz", l.path+".1.gz")
}

// count checks that the lines of a piece follow on each other; a line may be
// split over two pieces.
func count(t *testing.T, path string, piece, next int, partial string) (int, string) {
	t.Helper()
	name := path
	if piece > 0 {
		name = fmt.Sprintf("%s.%d.gz", path, piece)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if piece > 0 {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return next, partial + line
		}
		line, partial = partial+line, ""
		var n int
		if _, err := fmt.Sscanf(line, "line %d", &n); err == nil && n != next {
			t.Fatalf("%s: line %d after line %d", name, n, next-1)
		} else if err != nil && next >= 0 {
			t.Fatalf("%s: %q", name, line)
		}
		next++
	}
}
