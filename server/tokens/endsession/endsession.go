// Package endsession owns the end of a user session: removing it, and telling
// the clients that used it, by calls of ours (OpenID Connect Back-Channel
// Logout) or through the browser (Front-Channel Logout). It does not know who
// asked for the end.
package endsession

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
)

// callTimeout bounds a call to a client: a person waits for the slowest.
const callTimeout = 5 * time.Second

// maxCalls bounds the calls that are under way for one logout.
const maxCalls = 8

// Ender ends sessions of all realms.
type Ender struct {
	Store    storage.Store
	Sessions *sessions.Service
	Issuer   *tokens.Issuer
	HTTP     *http.Client // for the calls to clients
	Log      zerolog.Logger
}

// End ends a user session and tells its clients. front are the addresses that
// the browser has to open for clients that want it told there. Ending what has
// ended is no error. A client that cannot be told is logged: the session ends
// all the same.
func (e *Ender) End(ctx context.Context, site addresses.Site, realm *model.Realm, session string) (front []string, err error) {
	u, err := e.Sessions.End(ctx, realm, session, false)
	if problem.Is(err, problem.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return e.Tell(ctx, site, realm, u), nil
}

// Tell tells the clients of a user session that it has ended; front are the
// addresses that the browser has to open.
func (e *Ender) Tell(ctx context.Context, site addresses.Site, realm *model.Realm, u *model.UserSession) (front []string) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, maxCalls)
	for id := range u.Clients {
		client, err := e.client(ctx, realm, id)
		if err != nil {
			e.Log.Warn().Err(err).Str("realm", realm.Name).Str("client", id).Msg("a client cannot be told of a logout")
			continue
		}
		if address := absolute(client, client.Attribute("backchannel.logout.url")); address != "" {
			slots <- struct{}{}
			wait.Go(func() {
				defer func() { <-slots }()
				if err := e.call(ctx, site, realm, client, u, address); err != nil {
					e.Log.Warn().Err(err).Str("realm", realm.Name).Str("client", client.ClientID).Msg("a client cannot be told of a logout")
				}
			})
		}
		if client.FrontchannelLogout {
			if address := absolute(client, client.Attribute("frontchannel.logout.url")); address != "" {
				front = append(front, withSession(client, address, site.Realm(realm.Name), u.ID))
			}
		}
	}
	wait.Wait()
	slices.Sort(front)
	return front
}

// call posts a logout token (OpenID Connect Back-Channel Logout, section 2.5).
func (e *Ender) call(ctx context.Context, site addresses.Site, realm *model.Realm, client *model.Client, u *model.UserSession, address string) error {
	token, err := e.Issuer.Logout(ctx, site, realm, client, u)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := e.HTTP.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return problem.Unavailable.Errorf("cannot log out at %q: it answered with status %d", address, resp.StatusCode)
	}
	return nil
}

func (e *Ender) client(ctx context.Context, realm *model.Realm, id string) (c *model.Client, err error) {
	err = e.Store.View(ctx, func(tx storage.Tx) error {
		c, err = tx.Clients.Get(ctx, realm.ID, id)
		return err
	})
	return c, err
}

// absolute is an address of a client's settings, which may be relative to its
// root; "" for anything that is not of the web.
func absolute(client *model.Client, address string) string {
	if strings.HasPrefix(address, "/") {
		address = strings.TrimSuffix(client.RootURL, "/") + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return address
}

// withSession adds issuer and session to a front-channel address unless the
// client does not want them (OpenID Connect Front-Channel Logout, section 2).
func withSession(client *model.Client, address, issuer, session string) string {
	if client.Attribute("frontchannel.logout.session.required") == "false" {
		return address
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + url.Values{"iss": {issuer}, "sid": {session}}.Encode()
}
