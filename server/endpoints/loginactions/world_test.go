package loginactions_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/account"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/loginactions"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/welcome"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// world is a server with one realm, as browsers see it.
type world struct {
	t         *testing.T
	url       string
	realm     *model.Realm
	store     storage.Store
	clock     *clocktest.Clock
	processor *authentication.Processor
	accounts  *authentication.Accounts
	settings  themes.Settings
}

const secret = "correct horse"

// newWorld serves a realm with the user alice; change may alter it first.
func newWorld(t *testing.T, change func(*model.Contents)) *world {
	t.Helper()
	w := &world{t: t, clock: clocktest.New(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))}
	log := zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), storage.Options{Clock: w.clock, Log: log, CommitRate: 10000, CommitBurst: 10000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w.store = store
	hasher := passwords.NewHasher(0)
	service := sessions.New(store, keys.NewRing(keys.Stored(store), w.clock, log), w.clock, "node-1")
	set, err := themes.New(themes.Config{Settings: func() themes.Settings { return w.settings }, Log: log, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	w.processor = authentication.New(authentication.Config{Store: store, Logins: service, Hasher: hasher, Themes: set,
		Protocols: map[string]authentication.Protocol{}, Clock: w.clock, Log: log})
	w.accounts = w.processor.Accounts()
	book := func() addresses.Book { return addresses.Book{} }
	page := account.New(account.Config{Store: store, Book: book, Sessions: service, Starter: w.processor, Accounts: w.accounts, Themes: set, Log: log})
	w.processor.Protocols[account.Protocol] = page
	mux := http.NewServeMux()
	mux.Handle("/auth/realms/{realm}/login-actions/{action}", loginactions.New(loginactions.Config{Store: store, Book: book, Logins: service,
		Processor: w.processor, Themes: set, Clock: w.clock, Log: log}))
	mux.Handle("/auth/realms/{realm}/account", page.Handler())
	mux.Handle("/auth/realms/{realm}/account/{action}", page.Handler())
	mux.Handle("/auth/resources/", set.Resources())
	mux.Handle("/", welcome.New(welcome.Config{Store: store, Book: book, Accounts: w.accounts, Themes: set, Clock: w.clock, Log: log}))
	w.populate(change)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) populate(change func(*model.Contents)) {
	w.t.Helper()
	c := &model.Contents{Realm: &model.Realm{Name: "test", DisplayName: "Test & realm", Enabled: true, SSLRequired: "external"}}
	alice := &model.User{Username: "alice", Email: "alice@example.com", FirstName: "Alice", LastName: "Liddell", Enabled: true}
	c.Users = append(c.Users, alice)
	if err := c.AddDefaults(model.Generate{ID: uuid.NewString, Secret: rand.Text}); err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(c)
	}
	if len(alice.Credentials) == 0 {
		credential, err := w.accounts.NewPassword(w.t.Context(), &model.Realm{PasswordPolicy: "hashIterations(1)"}, secret, false)
		if err != nil {
			w.t.Fatal(err)
		}
		alice.Credentials = []model.Credential{credential}
	}
	w.create(c)
	w.realm = c.Realm
}

func (w *world) create(c *model.Contents) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx storage.Tx) error {
		ctx := w.t.Context()
		if err := tx.Realms.Create(ctx, "", c.Realm); err != nil {
			return err
		}
		return firstError(
			all(ctx, tx.Clients, c.Realm.ID, c.Clients), all(ctx, tx.ClientScopes, c.Realm.ID, c.ClientScopes), all(ctx, tx.Roles, c.Realm.ID, c.Roles),
			all(ctx, tx.Groups, c.Realm.ID, c.Groups), all(ctx, tx.Flows, c.Realm.ID, c.Flows), all(ctx, tx.Components, c.Realm.ID, c.Components),
			func() error {
				for _, u := range c.Users {
					if err := tx.Users.Create(ctx, c.Realm.ID, u); err != nil {
						return err
					}
				}
				return nil
			})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func all[T model.Noun](ctx context.Context, in storage.Documents[T], realm string, docs []T) func() error {
	return func() error {
		for _, d := range docs {
			if err := in.Create(ctx, realm, d); err != nil {
				return err
			}
		}
		return nil
	}
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// alice is the user as stored now.
func (w *world) alice() *model.User {
	w.t.Helper()
	u, err := w.accounts.Find(w.t.Context(), w.realm, "alice")
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

func (w *world) account() string { return w.url + "/auth/realms/test/account" }

// window is a browser of its own.
func (w *world) window() *window {
	return &window{t: w.t, b: formbrowser.New(nil, nil)}
}

type window struct {
	t *testing.T
	b *formbrowser.Browser
}

func (w *window) open(address string) *formbrowser.Page {
	w.t.Helper()
	p, err := w.b.Open(w.t.Context(), address)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// submit fills in and sends the form of a page that has the first field.
func (w *window) submit(p *formbrowser.Page, fields ...string) *formbrowser.Page {
	w.t.Helper()
	p, err := w.b.Submit(w.t.Context(), w.fill(p, fields...))
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *window) fill(p *formbrowser.Page, fields ...string) *formbrowser.Form {
	w.t.Helper()
	form, err := p.Form(fields[0])
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Values.Set(fields[i], fields[i+1])
	}
	return form
}

// sees fails the test unless the page shows all texts.
func (w *window) sees(p *formbrowser.Page, status int, texts ...string) {
	w.t.Helper()
	if p.Status != status {
		w.t.Errorf("status %d, want %d: %s", p.Status, status, p.Text())
	}
	for _, text := range texts {
		if !strings.Contains(p.Text(), text) {
			w.t.Errorf("%q is not on the page: %s", text, p.Text())
		}
	}
}
