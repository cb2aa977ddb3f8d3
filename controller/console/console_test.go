package console_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/console"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const (
	password = "correct-h0rse"
	secret   = "s3cret-of-the-database"
	hostile  = `"><script>alert(1)</script><img src=x onerror=alert(2)>`
)

// model is a domain in memory with something running in it.
type model struct {
	*apitest.Model
	hosts, controllers, rollouts, servers []any

	broken     bool         // no support bundle can be made
	leaderless atomic.Int32 // operations that find nobody who leads
}

const hostToken = "gatehouse-join-token-of-h9"

func (m *model) Execute(ctx context.Context, c access.Caller, op profiles.Operation) (api.Response, error) {
	running := len(op.Address) == 2 && op.Address[1].Type == "server"
	switch {
	case m.leaderless.Load() > 0:
		m.leaderless.Add(-1)
		return api.Response{}, api.NotLeader{Cause: problem.Unavailable.Errorf("no controller leads")}
	case op.Name == "hosts":
		return api.Response{Result: m.hosts}, nil
	case op.Name == "controllers":
		return api.Response{Result: m.controllers}, nil
	case op.Name == "rollouts":
		return api.Response{Result: m.rollouts}, nil
	case op.Name == "add-host":
		return api.Response{Result: map[string]any{"name": op.Params["name"], "token": hostToken, "secret": "s", "fingerprint": "f"}}, nil
	case op.Name == "revoke", op.Name == "remove-host":
		return api.Response{}, nil
	case running && op.Name == "read-resource":
		return api.Response{Result: m.servers}, nil
	}
	return m.Model.Execute(ctx, c, op)
}

func (m *model) Follow(ctx context.Context, c access.Caller, op profiles.Operation, emit func(any) error) (api.Response, error) {
	if op.Name == "support-bundle" {
		if m.broken {
			return api.Response{}, problem.Unavailable.Errorf("no disk")
		}
		for _, chunk := range []string{"first ", "second"} {
			if err := emit(map[string]any{"chunk": []byte(chunk)}); err != nil {
				return api.Response{}, err
			}
		}
		return api.Response{}, nil
	}
	return m.Model.Follow(ctx, c, op, emit)
}

func newModel(t *testing.T) *model {
	t.Helper()
	tree, err := profiles.ParseTOML("test.toml", []byte(`
[profile.web.subsystem.identity]
web-context = "auth"
[profile.web.subsystem.identity.spi.truststore.provider.file]
enabled = true
properties = { password = "s3cret-of-the-database", file = "trust.pem" }
[profile.web.subsystem.datasources.data-source.KeycloakDS]
connection-url = "sqlite:identity.db"
driver-name = "sqlite"
user-name = "sa"
password = "s3cret-of-the-database"
[profile.web.subsystem.http.configuration.handler.reverse-proxy.lb]
[profile.other.subsystem.identity]
[socket-binding-group.sockets]
default-interface = "public"
[interface.public]
inet-address = "127.0.0.1"
[server-group.a]
profile = "web"
socket-binding-group = "sockets"
[server-group.b]
profile = "other"
socket-binding-group = "sockets"
[host.h1.server-config.one]
group = "a"
[host.h1.server-config.two]
group = "b"
auto-start = false
`))
	if err != nil {
		t.Fatal(err)
	}
	server := map[string]any{
		"name": "one", "host": "h1", "server-group": "a", "status": "FAILED", "server-state": "failed", "revision": 1, "site": "s1",
		"restarts": 3, "since": "2026-01-02T03:04:05Z", "message": "cannot open the database\n" + hostile, "ports": map[string]any{"http": 8080},
	}
	return &model{
		Model:       apitest.NewModel(tree),
		hosts:       []any{map[string]any{"name": "h1", "connected": true, "since": "2026-01-02T03:04:05Z", "servers": 1, "revision": 1}},
		controllers: []any{map[string]any{"name": "c1", "leader": true, "voter": true, "native-address": "c1:9999"}},
		rollouts: []any{map[string]any{"rollout": "r1", "author": "ann", "started": "2026-01-02T03:04:05Z", "revision": 1, "state": "failed", "problem": hostile,
			"servers": []any{map[string]any{"host": "h1", "server": "one", "group": "a", "need": "restart", "state": "failed"}}}},
		servers: []any{map[string]any{"address": []any{map[string]any{"host": "h1"}, map[string]any{"server": "one"}}, "outcome": "success", "result": server}},
	}
}

// site is a console on the wire.
type site struct {
	t         *testing.T
	url       string
	model     *model
	users     access.Store
	auditFile string
}

func serve(t *testing.T, c clock.Clock) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, model: newModel(t), users: access.NewFileStore(filepath.Join(dir, "users.json")), auditFile: filepath.Join(dir, "audit.log")}
	audit, err := access.NewAudit(access.AuditConfig{File: s.auditFile, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	management := api.New(api.Config{Model: s.model, Users: s.users, Audit: audit, Clock: c, Log: zerolog.Nop()})
	served, err := console.New(console.Config{Management: management, Key: make([]byte, 32), Version: "test", Clock: c, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- served.Run(ctx) }()
	web := httptest.NewTLSServer(served)
	s.url = web.URL
	t.Cleanup(func() {
		web.Close()
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if err := audit.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) addUser(name string, grants ...access.Grant) {
	s.t.Helper()
	user, err := access.NewUser(name, password, grants)
	if err == nil {
		err = s.users.PutUser(s.t.Context(), user)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// browser is a person's browser.
type browser struct {
	*site
	client http.Client
	header http.Header
}

func (s *site) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{site: s, header: http.Header{}, client: http.Client{
		Jar:           jar,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn is the browser of a new user.
func (s *site) signedIn(name string, grants ...access.Grant) *browser {
	s.t.Helper()
	s.addUser(name, grants...)
	b := s.browser()
	if r, _ := b.post("/console/sign-in", url.Values{"name": {name}, "password": {password}}); r.StatusCode != http.StatusSeeOther {
		s.t.Fatalf("sign-in: %s", r.Status)
	}
	return b
}

func (b *browser) send(r *http.Request) (*http.Response, string) {
	b.t.Helper()
	for name, values := range b.header {
		r.Header[name] = values
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response, string(text)
}

func (b *browser) get(path string) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(r)
}

func (b *browser) post(path string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

// page gets a page that must be there.
func (b *browser) page(path string) string {
	b.t.Helper()
	r, text := b.get(path)
	if r.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: %s\n%s", path, r.Status, text)
	}
	return text
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

// form is a form of a page, its hidden fields filled in, completed by the pairs.
func (b *browser) form(page string, pairs ...string) url.Values {
	b.t.Helper()
	form := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(field[1], unescape(field[2]))
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

var unescape = strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&amp;", "&", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace

func (s *site) revision() uint64 {
	s.t.Helper()
	r, err := s.model.Execute(s.t.Context(), access.LocalSuperUser(), profiles.Operation{Name: "read-resource"})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Revision
}

func (s *site) audited() string {
	s.t.Helper()
	text, err := os.ReadFile(s.auditFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

var superUser = access.Grant{Role: access.SuperUser}

// pages are all that the console shows.
var pages = []string{
	"/console", "/console/server?host=h1&name=one", "/console/configuration",
	"/console/configuration?at=/profile%3Dweb/subsystem%3Didentity",
	"/console/configuration?at=/profile%3Dweb/subsystem%3Ddatasources/data-source%3DKeycloakDS",
	"/console/configuration?at=/profile%3Dweb/subsystem%3Didentity/spi%3Dtruststore/provider%3Dfile",
	"/console/configuration/edit?at=/profile%3Dweb/subsystem%3Didentity&name=web-context",
	"/console/configuration/edit?at=/profile%3Dweb/subsystem%3Ddatasources/data-source%3DKeycloakDS&name=password",
	"/console/configuration/edit?at=/profile%3Dweb/subsystem%3Didentity/spi%3Dtruststore/provider%3Dfile&name=properties",
	"/console/configuration/add?at=/&type=system-property", "/console/configuration/add?at=/profile%3Dother&type=subsystem",
	"/console/history", "/console/history?from=0&to=0", "/console/rollouts",
	"/console/log?host=h1&name=one", "/console/access", "/console/access/add", "/console/access/user?name=ann",
}
