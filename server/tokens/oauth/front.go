package oauth

import (
	"context"
	"net/http"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Front is where requests for a realm come in: the phases that no endpoint may
// forget.
type Front struct {
	Store storage.Store
	Book  func() addresses.Book // asked at each request: it may change live
}

// Visit is a request that came in: its realm, and the site as the caller sees
// it.
type Visit struct {
	Site  addresses.Site
	Realm *model.Realm
}

// Open finds the realm that the path of r names as {realm}. It refuses a realm
// that does not exist or is disabled, and a request without TLS where the realm
// asks for it.
func (f Front) Open(r *http.Request) (Visit, error) {
	name := r.PathValue("realm")
	v := Visit{Site: f.Book().Of(r)}
	err := f.Store.View(r.Context(), func(tx storage.Tx) (err error) {
		v.Realm, err = tx.Realms.ByName(r.Context(), "", "", name)
		return err
	})
	if problem.Is(err, problem.NotFound) {
		return v, &Error{Status: http.StatusNotFound, Code: "Realm does not exist", Cause: err}
	}
	if err != nil {
		return v, err
	}
	v.Site = v.Site.WithFrontend(v.Realm.Attribute("frontendUrl"))
	if !v.Realm.Enabled {
		return v, Forbid(AccessDenied, "Realm not enabled")
	}
	if !v.Site.Secure && (v.Realm.SSLRequired == "all" || v.Realm.SSLRequired != "none" && !v.Site.Private()) {
		return v, Forbid(InvalidRequest, "HTTPS required")
	}
	return v, nil
}

// Client is the realm's client with this clientId; problem.NotFound if there is
// none.
func (f Front) Client(ctx context.Context, realm *model.Realm, clientID string) (c *model.Client, err error) {
	err = f.Store.View(ctx, func(tx storage.Tx) error {
		c, err = tx.Clients.ByName(ctx, realm.ID, "", clientID)
		return err
	})
	return c, err
}

// User is the realm's user with this id; problem.NotFound if there is none.
func (f Front) User(ctx context.Context, realm *model.Realm, id string) (u *model.User, err error) {
	err = f.Store.View(ctx, func(tx storage.Tx) error {
		u, err = tx.Users.Get(ctx, realm.ID, id)
		return err
	})
	return u, err
}

// Base is the site's address for the redirect URIs and origins of clients.
func (v Visit) Base() model.AuthBase { return model.AuthBase(v.Site.Root()) }

// Origins are the web origins of a client whose pages may read answers.
func (v Visit) Origins(client *model.Client) []string { return client.AllowedOrigins(v.Base()) }
