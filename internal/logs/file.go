package logs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// retryEvery is how often an output that failed is tried again: soon enough
// for somebody who repairs it, seldom enough to cost nothing.
const retryEvery = 5 * time.Second

// File is a file that lines are added to.
type File struct {
	Path    string // absolute, or of the working directory
	Replace bool   // what was in it when it is opened goes
	Suffix  string // it gets a new one when this date form gives another text; the old one's name then ends with that
	MaxSize int64  // bytes; it gets a new one before it is larger; 0 for any
	Backups int    // with MaxSize: so many old ones stay, .1 the newest
	Aside   bool   // what was in it when it is opened is put aside, under a name with that moment
	Private bool   // for its owner only
}

// place is the file, whatever is done with it.
func (f File) place() Output { return File{Path: filepath.Clean(f.Path)} }

func (f File) check() error {
	if f.Path == "" {
		return problem.Invalid.Errorf("it has no file: want its path")
	}
	_, err := parseDate(f.Suffix)
	return err
}

func (f File) open(u user) sink {
	s := &fileSink{File: f, user: u}
	s.form, _ = parseDate(f.Suffix) // check has seen to it
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		s.fail(err)
	}
	return s
}

// fileSink is an open File, or one that waits to be tried again.
type fileSink struct {
	File
	user
	form dateForm

	mu     sync.Mutex
	file   *os.File // nil: not open
	size   int64
	period string    // what Suffix gave when the file was begun
	retry  time.Time // not before then
	failed bool      // and it was said
	lost   int       // lines since
}

func (s *fileSink) write(_ zerolog.Level, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		if s.clock.Now().Before(s.retry) {
			s.lost++
			return
		}
		if err := s.start(); err != nil {
			s.fail(err)
			s.lost++
			return
		}
	}
	err := s.turn(int64(len(text)))
	if err == nil {
		var n int
		n, err = s.file.Write(text)
		s.size += int64(n)
	}
	if err != nil {
		s.fail(err)
		s.lost++
		return
	}
	if s.failed {
		s.say(zerolog.WarnLevel, nil, "writing log file "+s.Path+" again; lines lost: "+strconv.Itoa(s.lost))
		s.failed, s.lost = false, 0
	}
}

// start opens the file, making its folder.
func (s *fileSink) start() error {
	folder, mode := fs.FileMode(0o750), fs.FileMode(0o640)
	if s.Private {
		folder, mode = 0o700, 0o600
	}
	if err := os.MkdirAll(filepath.Dir(s.Path), folder); err != nil {
		return err
	}
	if err := s.aside(); err != nil {
		return err
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if s.Replace {
		flags |= os.O_TRUNC
		s.Replace = false // later openings go on with it
	}
	f, err := os.OpenFile(s.Path, flags, mode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.size = f, info.Size()
	begun := s.clock.Now()
	if s.size > 0 {
		begun = info.ModTime()
	}
	s.period = s.form.format(begun)
	return nil
}

// asideForm is UTC: names sort as they came.
const asideForm = ".20060102T150405Z"

// aside makes room for a new file, once.
func (s *fileSink) aside() error {
	if !s.Aside {
		return nil
	}
	info, err := os.Stat(s.Path)
	if err == nil && info.Size() > 0 {
		err = os.Rename(s.Path, unused(s.Path+s.clock.Now().UTC().Format(asideForm)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.Aside = false // later openings go on with it
	return nil
}

// turn puts the file aside when its time or its size is over.
func (s *fileSink) turn(more int64) error {
	period := s.form.format(s.clock.Now())
	over := s.MaxSize > 0 && s.size > 0 && s.size+more > s.MaxSize
	if period == s.period && !over {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	if err != nil {
		return err
	}
	if over {
		err = s.shift()
	} else {
		err = os.Rename(s.Path, unused(s.Path+s.period))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody else took it away
		return err
	}
	return s.start()
}

// unused is name, or with a number behind it where there is such a file.
func unused(name string) string {
	for i, candidate := 1, name; ; i++ {
		if _, err := os.Lstat(candidate); err != nil {
			return candidate
		}
		candidate = name + "." + strconv.Itoa(i)
	}
}

// shift renames file.1 to file.2 and so on; the oldest goes.
func (s *fileSink) shift() error {
	if s.Backups == 0 {
		return os.Remove(s.Path)
	}
	name := func(i int) string { return s.Path + "." + strconv.Itoa(i) }
	for i := s.Backups - 1; i > 0; i-- {
		if err := os.Rename(name(i), name(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(s.Path, name(1))
}

// fail says once what is wrong, and lets the next try wait.
func (s *fileSink) fail(err error) {
	if s.file != nil {
		_ = s.file.Close() // it is given up
		s.file = nil
	}
	s.retry = s.clock.Now().Add(retryEvery)
	if !s.failed {
		s.failed = true
		s.say(zerolog.ErrorLevel, err, "cannot write log file "+s.Path+"; trying again")
	}
}

func (s *fileSink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close() // every line was written through
		s.file = nil
	}
}
