// Package logfiles lists and reads the log files of one folder: plain ones and
// those that were compressed (.gz) when they were rotated. Names cannot lead out
// of the folder, neither by .. nor by links. It knows no product noun, and
// nothing of what is in a line.
package logfiles

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Limits of one answer: lines, and bytes of all of them; a longer line is cut.
const (
	MostLines = 10000
	mostBytes = 4 << 20
	mostLine  = 64 << 10
)

// File is one log file.
type File struct {
	Name     string    `json:"file-name"`
	Bytes    int64     `json:"file-size"`
	Modified time.Time `json:"last-modified-date"`
}

// List gives the log files of a folder, by name. A folder that is not there has
// none.
func List(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Internal.Errorf("cannot list log files: %w", err)
	}
	list := []File{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || check(e.Name()) != nil {
			continue // gone meanwhile, or no log
		}
		list = append(list, File{e.Name(), info.Size(), info.ModTime().UTC()})
	}
	return list, nil
}

// check refuses what is no name of a log file: it would lead elsewhere, or is a
// piece that a rotation works on.
func check(name string) error {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00") || strings.HasSuffix(name, ".new.gz") || strings.HasSuffix(name, ".plain") {
		return problem.Invalid.Errorf("cannot read log file %q: want the name of a file as list-log-files gives it, without a folder", name)
	}
	return nil
}

// Query says which lines are wanted.
type Query struct {
	Lines int  // how many; 0 none, below 0 as many as may be
	Skip  int  // how many to leave out before them; with Tail, after them
	Tail  bool // from the end
}

// Read gives lines of a log file, without their ends, in their order. Position is
// where a plain file ended, for Follow.
func Read(dir, name string, q Query) (lines []string, position int64, err error) {
	f, err := open(dir, name)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	if q.Lines < 0 || q.Lines > MostLines {
		q.Lines = MostLines
	}
	q.Skip = max(0, q.Skip)
	var from io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, 0, problem.Invalid.Errorf("cannot read log file %q: it is not compressed as its name says: %w", name, err)
		}
		from = z
	} else if position, err = f.Seek(0, io.SeekEnd); err == nil {
		start := int64(0)
		if q.Tail {
			start, err = lastLines(f, position, q.Lines+q.Skip)
		}
		from = io.NewSectionReader(f, start, position-start)
	}
	if err == nil {
		lines, err = choose(bufio.NewReaderSize(from, mostLine), q)
	}
	if err != nil {
		return nil, 0, problem.Internal.Errorf("cannot read log file %q: %w", name, err)
	}
	return lines, position, nil
}

// open opens a regular file of the folder.
func open(dir, name string) (*os.File, error) {
	if err := check(name); err != nil {
		return nil, err
	}
	missing := func() error { return problem.NotFound.Errorf("cannot find log file %q: see list-log-files", name) }
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, missing()
	}
	defer func() { _ = root.Close() }()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not be waited for
	if err != nil {
		return nil, missing()
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, missing()
	}
	return f, nil
}

// lastLines is where the last n lines of a file begin, or somewhat before.
func lastLines(f io.ReaderAt, end int64, n int) (int64, error) {
	const block = 64 << 10
	ends := 0
	for start := end; start > 0; {
		size := min(block, start)
		start -= size
		piece := make([]byte, size)
		if _, err := f.ReadAt(piece, start); err != nil {
			return 0, err
		}
		if ends += bytes.Count(piece, []byte{'\n'}); ends > n+1 {
			return start, nil
		}
	}
	return 0, nil
}

// choose reads lines and keeps those that are asked for.
func choose(r *bufio.Reader, q Query) ([]string, error) {
	kept := []string{}
	size := 0
	for number := 0; ; number++ {
		line, err := next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !q.Tail {
			if number >= q.Skip+q.Lines || size > mostBytes {
				return kept, nil
			}
			if number < q.Skip {
				continue
			}
		}
		kept, size = append(kept, line), size+len(line)
		for q.Tail && (len(kept) > q.Lines+q.Skip || size > mostBytes && len(kept) > q.Skip) {
			size -= len(kept[0])
			kept = kept[1:]
		}
	}
	if q.Tail {
		kept = kept[:max(0, len(kept)-q.Skip)]
	}
	return kept, nil
}

// next reads one line; what is over the limit of it is left out.
func next(r *bufio.Reader) (string, error) {
	line, more, err := r.ReadLine()
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	if errors.Is(err, io.EOF) && text != "" {
		err = nil
	}
	return text, err
}

// followEvery is how often a followed file is looked at.
const followEvery = 200 * time.Millisecond

// Follow gives what is added to a plain file after a position, until ctx ends or
// emit fails. A file that was rotated is followed from its new beginning.
func Follow(ctx context.Context, c clock.Clock, dir, name string, position int64, emit func([]byte) error) error {
	if strings.HasSuffix(name, ".gz") {
		return problem.Invalid.Errorf("cannot follow log file %q: nothing is added to what was compressed", name)
	}
	tick := c.NewTicker(followEvery)
	defer tick.Stop()
	piece := make([]byte, mostLine)
	var was fs.FileInfo
	for {
		n := 0
		if f, err := open(dir, name); err == nil { // one that is gone may come again
			info, statErr := f.Stat()
			if statErr == nil && (was != nil && !os.SameFile(was, info) || info.Size() < position) {
				position = 0
			}
			was = info
			n, _ = f.ReadAt(piece, position)
			_ = f.Close()
		}
		if n > 0 {
			position += int64(n)
			if err := emit(bytes.Clone(piece[:n])); err != nil {
				return err
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
