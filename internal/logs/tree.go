package logs

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// categoryField names the category of a line.
const categoryField = "category"

// Settings say what is written where.
type Settings struct {
	Root     Logger
	Loggers  map[string]Logger // by category: "a" holds for "a.b" too
	Handlers map[string]Handler
}

// Logger is what holds for a category and those below it.
type Logger struct {
	Level    *zerolog.Level // nil: that of the category above
	Handlers []string       // they write beside those of the category above
	Alone    bool           // those of the category above do not write
}

// Handler writes lines of its level and above.
type Handler struct {
	Level   zerolog.Level
	Format  Format // "" is Auto
	Pattern string // a form of its own, see ParsePattern; goes before Format
	Output  Output // where to; one Output has one handler
}

// Config is what a Tree is made from.
type Config struct {
	Console io.Writer // the process's output; also told of handlers that fail
	Format  Format    // of console handlers whose format is Auto
	Level   zerolog.Level
	Clock   clock.Clock
}

// Tree makes loggers by category. What they write can be changed while they
// are in use; until then they write to the console. It is safe for concurrent
// use.
type Tree struct {
	config  Config
	console *consoleSink

	mu         sync.RWMutex // held for reading while a line is written
	settings   Settings
	categories map[string]*category
	routes     map[string]*route // by handler
	closed     bool
}

// NewTree makes a tree whose loggers write to the console.
func NewTree(c Config) *Tree {
	t := &Tree{config: c, console: &consoleSink{w: c.Console}, categories: map[string]*category{}, routes: map[string]*route{}}
	const handler = "console"
	t.settings = Settings{
		Root:     Logger{Level: &c.Level, Handlers: []string{handler}},
		Handlers: map[string]Handler{handler: {Level: zerolog.TraceLevel, Output: Console{}}},
	}
	t.routes[handler] = &route{name: handler, tree: t, level: zerolog.TraceLevel, layout: t.plainLayout(Handler{Output: Console{}}), output: Console{}, sink: t.console}
	return t
}

// Discard is a tree that writes nothing.
func Discard() *Tree {
	return NewTree(Config{Console: io.Discard, Format: JSON, Level: zerolog.Disabled, Clock: clock.Real()})
}

// Logger is the logger of a category: words from the general to the special,
// with dots between them. Lines name it.
func (t *Tree) Logger(name string) zerolog.Logger {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.categories[name]
	if !ok {
		c = &category{tree: t}
		t.categories[name] = c
		t.resolve(name, c)
	}
	return stamped(c, t.config.Clock).Sample(c).With().Str(categoryField, name).Logger()
}

// category is one logger's level and handlers as they are now.
type category struct {
	tree   *Tree
	level  atomic.Int32
	routes []*route // guarded by tree.mu
}

// Sample drops what nobody wants before a line is made of it.
func (c *category) Sample(level zerolog.Level) bool { return int32(level) >= c.level.Load() }

// Write has lines without a level.
func (c *category) Write(line []byte) (int, error) { return c.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel hands a line to its handlers. It never fails: a handler that
// cannot write says so itself.
func (c *category) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	c.tree.mu.RLock()
	defer c.tree.mu.RUnlock()
	for _, r := range c.routes {
		if level >= r.level {
			r.write(level, line)
		}
	}
	return len(line), nil
}

// Check refuses settings that Configure would.
func (s Settings) Check() error {
	var errs []error
	known := slices.Sorted(maps.Keys(s.Handlers))
	users := map[Output]string{}
	for _, name := range known {
		h := s.Handlers[name]
		if _, err := ParsePattern(h.Pattern); err != nil {
			errs = append(errs, problem.Invalid.Errorf("cannot use log handler %q: %w", name, err))
		}
		if err := h.Output.check(); err != nil {
			errs = append(errs, problem.Invalid.Errorf("cannot use log handler %q: %w", name, err))
			continue
		}
		if other, taken := users[h.Output.place()]; taken {
			errs = append(errs, problem.Invalid.Errorf("cannot use log handler %q: handler %q writes to the same file", name, other))
		}
		if place := h.Output.place(); place != nil {
			users[place] = name
		}
	}
	loggers := maps.Clone(s.Loggers)
	if loggers == nil {
		loggers = map[string]Logger{}
	}
	loggers["ROOT"] = s.Root
	for _, name := range slices.Sorted(maps.Keys(loggers)) {
		for _, h := range loggers[name].Handlers {
			if _, ok := s.Handlers[h]; !ok {
				errs = append(errs, problem.Invalid.Errorf("cannot use logger %q: there is no handler %q (valid: %s)", name, h, strings.Join(known, ", ")))
			}
		}
	}
	return errors.Join(errs...)
}

// Configure makes all loggers follow the settings. Outputs that stay are not
// opened anew. It fails, and changes nothing, where Check would.
func (t *Tree) Configure(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	old := t.routes
	t.settings, t.routes = s, map[string]*route{}
	for name, h := range s.Handlers {
		r := &route{name: name, tree: t, level: h.Level, output: h.Output}
		if r.layout = t.plainLayout(h); h.Pattern != "" {
			pattern, err := ParsePattern(h.Pattern)
			if err != nil {
				return err // Check has seen to it
			}
			r.layout = pattern.layout
		}
		if before := old[name]; before != nil && before.output == h.Output {
			r.sink = before.sink
		}
		t.routes[name] = r
	}
	for name, r := range old { // before others open the same file
		if now := t.routes[name]; now == nil || now.sink != r.sink {
			r.sink.close()
		}
	}
	for _, r := range t.routes {
		if r.sink == nil {
			r.sink = opened(r.output, old).open(user{t.console, t.config.Clock, t.say})
		}
	}
	for name, c := range t.categories {
		t.resolve(name, c)
	}
	return nil
}

// opened is the output to open: a file that was in use goes on, whatever else
// changed about it.
func opened(o Output, old map[string]*route) Output {
	f, ok := o.(File)
	for _, r := range old {
		if ok && r.output.place() == f.place() {
			f.Replace, f.Aside = false, false
		}
	}
	if ok {
		return f
	}
	return o
}

// Close writes what still waits, and closes every output but the console.
func (t *Tree) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for name, r := range t.routes {
		if r.sink != t.console {
			r.sink.close()
			delete(t.routes, name)
		}
	}
	for name, c := range t.categories {
		t.resolve(name, c)
	}
}

// resolve gives a category its level and its handlers.
func (t *Tree) resolve(name string, c *category) {
	level, alone := (*zerolog.Level)(nil), false
	var handlers []string
	for at := name; ; at = parent(at) {
		l := t.settings.Root
		if at != "" {
			l = t.settings.Loggers[at]
		}
		if level == nil {
			level = l.Level
		}
		if !alone {
			handlers = append(handlers, l.Handlers...)
			alone = l.Alone
		}
		if at == "" {
			break
		}
	}
	slices.Sort(handlers)
	c.routes = nil
	least := zerolog.Disabled
	for _, h := range slices.Compact(handlers) {
		if r := t.routes[h]; r != nil {
			c.routes = append(c.routes, r)
			least = min(least, r.level)
		}
	}
	if level != nil {
		least = max(least, *level)
	}
	c.level.Store(int32(least))
}

// parent is the category above; "" is the root.
func parent(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }
