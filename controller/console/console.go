// Package console serves the domain console: the pages on which an operator
// sees the domain, changes its configuration, reads its history and carries
// changes out, with a browser and without any other tool.
//
// It owns the pages, their forms, the browser's session cookie and the
// protection of every change against other sites. Each thing that it shows or
// does is an operation of the management interface, run as the person who is
// signed in. It must not know how an operation is carried out, how callers are
// authorised, or where anything is kept.
package console

import (
	"context"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Management is the management interface from inside the process; errors carry
// a problem.Kind. api.Interface is one.
type Management interface {
	Execute(ctx context.Context, in api.Inside) (api.Response, error)
	Allowed(c access.Caller, op profiles.Operation) error
	SignIn(ctx context.Context, name, password, remote, via string) (token string, expires time.Time, err error)
	Session(ctx context.Context, token, remote string) (access.Caller, time.Time, error)
	Renew(ctx context.Context, c access.Caller) (token string, expires time.Time, err error)
	SignOut(ctx context.Context, c access.Caller) error
	Anybody(ctx context.Context) (bool, error)
}

// Config is what the console needs; every field but Domain is required.
type Config struct {
	Management Management
	// Key, at least 32 bytes, the same at every controller, guards the forms: a
	// page of one controller may be sent to another.
	Key []byte
	// Version of the product, for the foot of the page.
	Version string
	Clock   clock.Clock
	Log     zerolog.Logger
}

// Console is an http.Handler for "/console", what is below it, and "/", which
// leads there. It must be served over TLS. It is safe for concurrent use.
type Console struct {
	config  Config
	pages   map[string]*template.Template
	assets  map[string]asset
	handler http.Handler
	drafts  *drafts

	begun    sync.WaitGroup // operations that outlive their request
	stopping chan struct{}
}

// New makes the console; Run keeps what it begins.
func New(c Config) (*Console, error) {
	assets, err := loadAssets()
	if err != nil {
		return nil, err
	}
	console := &Console{config: c, assets: assets, drafts: newDrafts(c.Clock), stopping: make(chan struct{})}
	if console.pages, err = loadPages(assets); err != nil {
		return nil, err
	}
	console.handler = console.routes()
	return console, nil
}

// Run ends, when ctx does, the operations that outlived their requests.
func (c *Console) Run(ctx context.Context) error {
	<-ctx.Done()
	close(c.stopping)
	c.begun.Wait()
	return nil
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// routes is the list of all pages and of all that their forms do.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/console", http.StatusFound))
	mux.HandleFunc("GET /console/assets/{name}", c.asset)
	mux.HandleFunc("GET /console/sign-in", c.signInPage)
	mux.HandleFunc("POST /console/sign-in", c.signIn)

	mux.Handle("GET /console", c.page(c.overview))
	mux.Handle("GET /console/server", c.page(c.server))
	mux.Handle("GET /console/configuration", c.page(c.configuration))
	mux.Handle("GET /console/configuration/edit", c.page(c.edit))
	mux.Handle("GET /console/configuration/add", c.page(c.add))
	mux.Handle("GET /console/history", c.page(c.history))
	mux.Handle("GET /console/revision", c.page(c.revision))
	mux.Handle("GET /console/rollouts", c.page(c.rollouts))
	mux.Handle("GET /console/log", c.page(c.log))
	mux.Handle("GET /console/log/file", c.page(c.saveLog))
	mux.Handle("GET /console/access", c.page(c.access))
	mux.Handle("GET /console/access/add", c.page(c.addPerson))
	mux.Handle("GET /console/access/user", c.page(c.person))
	mux.Handle("GET /console/", c.page(c.nowhere))

	mux.Handle("POST /console/sign-out", c.form(c.signOut))
	mux.Handle("POST /console/server", c.form(c.order))
	mux.Handle("POST /console/plan", c.form(c.plan))
	mux.Handle("POST /console/commit", c.form(c.commit))
	mux.Handle("POST /console/rollouts", c.form(c.startRollout))
	mux.Handle("POST /console/access/add", c.form(c.createPerson))
	mux.Handle("POST /console/access/user", c.form(c.changePerson))
	mux.Handle("POST /console/access/hosts", c.form(c.changeHost))
	mux.Handle("POST /console/support-bundle", c.form(c.supportBundle))
	return guarded(mux)
}
