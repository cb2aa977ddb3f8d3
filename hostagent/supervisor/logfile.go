package supervisor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Rotation: a log is cut when it passes the size, and this many compressed
// pieces are kept. 10 x 10 MiB of text are about 10 MiB of disk.
const (
	logSize = 10 << 20
	logKeep = 10
)

// logfile is a server's standard output and error. The server holds the file
// open (O_APPEND) and writes on while no agent lives, so the file can neither
// be moved away nor be a pipe: to rotate it, its beginning is cut off.
type logfile struct {
	path string
	// mu orders readers before and after a cut; cut is how many bytes have
	// been cut off the beginning since the agent started.
	mu  sync.RWMutex
	cut int64
	// rotating lets one rotation run at a time.
	rotating sync.Mutex
}

// open gives the file to write to.
func (l *logfile) open() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o750); err != nil {
		return nil, err
	}
	return os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
}

// tail gives the last n lines and the position after them.
func (l *logfile) tail(n int) (lines []byte, position int64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, l.cut, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, err
	}
	const block = 16 << 10
	start := end
	// n lines have n line ends, and the one before them is where they begin.
	for start > 0 && bytes.Count(lines, []byte{'\n'}) <= n {
		size := min(block, start)
		start -= size
		piece := make([]byte, size)
		if _, err := f.ReadAt(piece, start); err != nil {
			return nil, 0, err
		}
		lines = append(piece, lines...)
	}
	for bytes.Count(bytes.TrimSuffix(lines, []byte{'\n'}), []byte{'\n'}) >= max(n, 1) {
		lines = lines[bytes.IndexByte(lines, '\n')+1:]
	}
	if n == 0 {
		lines = nil
	}
	return lines, l.cut + end, nil
}

// since gives at most max bytes from a position on, and the position after them.
func (l *logfile) since(position int64, most int) ([]byte, int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f, err := os.Open(l.path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, position, err
	}
	defer func() { _ = f.Close() }()
	position = max(position, l.cut) // what was cut meanwhile is in the archive
	piece := make([]byte, most)
	n, err := f.ReadAt(piece, position-l.cut)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return piece[:n], position + int64(n), err
}

// rotate cuts the log when it is larger than size and keeps the newest keep
// pieces: server.log.1.gz is the newest. pause stops the writer for the moment
// of the cut where the file system cannot cut by itself, and gives what lets
// it go on.
func (l *logfile) rotate(size int64, keep int, pause func() (resume func())) error {
	if !l.rotating.TryLock() {
		return nil // one is at work
	}
	defer l.rotating.Unlock()
	info, err := os.Stat(l.path)
	if err != nil || info.Size() <= size {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fresh := l.path + ".new.gz"
	defer func() { _ = os.Remove(fresh) }()

	// Whole blocks can be taken out of the beginning of a file while others
	// append to it (fallocate(2); ext4, xfs, and overlays on them).
	const block = 64 << 10
	length := info.Size() / block * block
	if err := compress(fresh, io.NewSectionReader(f, 0, length)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, length)
	if err != nil {
		if length, err = l.cutPaused(f, fresh, pause); err != nil {
			return fmt.Errorf("cannot rotate %s: %w", l.path, err)
		}
	}
	l.cut += length
	for i := keep - 1; i >= 1; i-- {
		_ = os.Rename(fmt.Sprintf("%s.%d.gz", l.path, i), fmt.Sprintf("%s.%d.gz", l.path, i+1))
	}
	return os.Rename(fresh, l.path+".1.gz")
}

// cutPaused copies and empties the file while its writer stands still.
func (l *logfile) cutPaused(f *os.File, fresh string, pause func() func()) (int64, error) {
	resume := pause()
	defer resume()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	plain := fresh + ".plain"
	defer func() { _ = os.Remove(plain) }()
	to, err := os.OpenFile(plain, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o640)
	if err != nil {
		return 0, err
	}
	defer func() { _ = to.Close() }()
	if _, err := io.Copy(to, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return 0, err
	}
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	resume()
	return info.Size(), compress(fresh, io.NewSectionReader(to, 0, info.Size()))
}

func compress(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	_, err = io.Copy(z, from)
	return errors.Join(err, z.Close(), f.Close())
}
