// Package themes owns how pages look and speak: themes built in and on disk
// with their parents, templates, texts in every language, the realm's choice
// among them, and the headers that keep a page from being framed or scripted.
// It knows no login, no session and no cookie but the one of the language.
package themes

import (
	"html/template"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/web"
)

// BuiltIn is the theme that stands behind every other one.
const BuiltIn = "gatehouse"

// The types of page a theme can dress.
const (
	Login   = "login"
	Account = "account"
	Welcome = "welcome"
)

// common is the directory of what a theme's types share.
const common = "common"

// Settings may change while the server runs.
type Settings struct {
	DisplayName  string // shown instead of each realm's own; "": the realm's
	DefaultTheme string // for realms that name none; "": BuiltIn
	WelcomeTheme string // of the welcome page; "": DefaultTheme
	// StaticMaxAge is how long browsers keep styles and pictures; 0 or less for
	// asking again each time.
	StaticMaxAge time.Duration
	Locked       bool // themes on disk are read once; otherwise at each use
}

// Config is what a Set needs.
type Config struct {
	Dir      string          // of themes on disk; "": none
	Settings func() Settings // asked at each page
	Version  string          // of the resources, part of their addresses
	Log      zerolog.Logger
}

// Set is all themes of a server. It is safe for concurrent use.
type Set struct {
	dir      fs.FS // nil without themes on disk
	builtIn  fs.FS
	settings func() Settings
	version  string
	log      zerolog.Logger

	mu    sync.Mutex
	looks map[[2]string]*look // by theme and type
}

// New makes a Set. Errors name a directory that is not there.
func New(c Config) (*Set, error) {
	s := &Set{settings: c.Settings, version: c.Version, log: c.Log, looks: map[[2]string]*look{}}
	if s.settings == nil {
		s.settings = func() Settings { return Settings{} }
	}
	if s.version == "" {
		s.version = "dev"
	}
	var err error
	if s.builtIn, err = fs.Sub(web.Themes, "themes"); err != nil {
		return nil, err
	}
	if c.Dir != "" {
		if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
			return nil, problem.Invalid.Errorf("cannot use the themes in %q: it is not a directory", c.Dir)
		}
		s.dir = os.DirFS(c.Dir)
	}
	_, err = s.look(BuiltIn, Login)
	return s, err
}

// Has reports whether there is a theme of this name.
func (s *Set) Has(name string) bool {
	return fs.ValidPath(name) && !strings.Contains(name, "/") && (exists(s.dir, name) || exists(s.builtIn, name))
}

// look is a theme as one type of page wears it: merged with its parents.
type look struct {
	chain  []layer // the theme itself first, BuiltIn last
	kind   string
	styles []string

	mu    sync.Mutex
	pages map[string]*template.Template
	texts map[string]map[string]string // by locale
}

// layer is one theme of a chain.
type layer struct {
	files      fs.FS // rooted at the theme
	properties map[string]string
}

// maxParents stops a chain of parents that bites its tail.
const maxParents = 8

// look is the theme of this name, or the built-in one when there is none such:
// realm files name themes that only their old server had.
func (s *Set) look(name, kind string) (*look, error) {
	if !s.Has(name) {
		name = BuiltIn
	}
	key := [2]string{name, kind}
	keep := s.settings().Locked || name == BuiltIn
	s.mu.Lock()
	known := s.looks[key]
	if !keep {
		delete(s.looks, key) // kept no longer
	}
	s.mu.Unlock()
	if known != nil && keep {
		return known, nil
	}
	l, err := s.load(name, kind)
	if err != nil {
		return nil, err
	}
	if keep {
		s.mu.Lock()
		s.looks[key] = l
		s.mu.Unlock()
	}
	return l, nil
}

func (s *Set) load(name, kind string) (*look, error) {
	l := &look{kind: kind, pages: map[string]*template.Template{}, texts: map[string]map[string]string{}}
	for at := name; at != "" && at != BuiltIn && len(l.chain) < maxParents; {
		if !s.Has(at) {
			break
		}
		next, err := s.layer(at, kind)
		if err != nil {
			return nil, err
		}
		l.chain = append(l.chain, next)
		at = next.properties["parent"]
	}
	last, err := s.layer(BuiltIn, kind)
	if err != nil {
		return nil, err
	}
	l.chain = append(l.chain, last)
	for i := len(l.chain) - 1; i >= 0; i-- { // a child's styles come after its parent's
		l.styles = append(l.styles, strings.Fields(l.chain[i].properties["styles"])...)
	}
	return l, nil
}

func (s *Set) layer(name, kind string) (layer, error) {
	from := s.builtIn
	if exists(s.dir, name) {
		from = s.dir
	}
	files, err := fs.Sub(from, name)
	if err != nil {
		return layer{}, err
	}
	properties := map[string]string{}
	for _, dir := range []string{common, kind} {
		data, err := fs.ReadFile(files, path.Join(dir, "theme.properties"))
		if err != nil {
			continue // a theme without settings of its own
		}
		for k, v := range parseProperties(data) {
			properties[k] = v
		}
	}
	return layer{files, properties}, nil
}

// open reads the first file of the chain that has this path.
func (l *look) open(name string) ([]byte, error) {
	for _, t := range l.chain {
		for _, dir := range []string{l.kind, common} {
			if data, err := fs.ReadFile(t.files, path.Join(dir, name)); err == nil {
				return data, nil
			}
		}
	}
	return nil, problem.NotFound.Errorf("cannot find %q in a theme", name)
}

// page is the template of a page, parsed once.
func (l *look) page(name string) (*template.Template, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.pages[name]; t != nil {
		return t, nil
	}
	t := template.New(name)
	for _, file := range []string{"layout.html", name + ".html"} {
		text, err := l.open(file)
		if err != nil {
			return nil, err
		}
		if t, err = t.Parse(string(text)); err != nil {
			return nil, problem.Invalid.Errorf("cannot use the template %s: %w", file, err)
		}
	}
	l.pages[name] = t
	return t, nil
}

func exists(files fs.FS, name string) bool {
	if files == nil {
		return false
	}
	info, err := fs.Stat(files, name)
	return err == nil && info.IsDir()
}
