package boot

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/account"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/loginactions"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/authorize"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/certs"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/introspect"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/logout"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/revoke"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/status"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/token"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/userinfo"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/welcome"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/wellknown"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/bearer"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/endsession"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// outgoingLimit bounds a call to a client: its key set, its back-channel
// logout. Somebody waits for it.
const outgoingLimit = 5 * time.Second

// servePages wires the pages and endpoints, and serves them once nothing that
// was cached before may be stale.
func (g *identity) servePages(ctx context.Context, store storage.Store, held *sessionCaches, ready func()) error {
	set, err := themes.New(themes.Config{Dir: g.now.Load().themeDir, Version: g.Version, Log: g.logger("server.themes"), Settings: func() themes.Settings { return g.now.Load().themes }})
	if err != nil {
		return err
	}
	serving, err := g.webTasks()
	if err != nil {
		return err
	}
	outgoing, err := readOutgoing(g.cfg, g.Dir)
	if err != nil {
		return err
	}
	kept := g.eventStore(store)
	if kept != nil {
		serving = append([]tasks.Task{{Name: "events", Run: kept.Run}}, serving...) // ends last
	}
	handler := g.mount(store, set, outgoing, kept)
	g.handler.Store(&handler)
	g.say("waiting until the cluster knows this server")
	select {
	case <-held.work.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := held.enter(ctx); err != nil {
		return err
	}
	g.health.Started()
	ready()
	return tasks.Run(ctx, serving...)
}

// mount is the one list of what an identity server serves.
func (g *identity) mount(store storage.Store, pages *themes.Set, outgoing *http.Client, kept *events.Store) http.Handler {
	var (
		book     = func() addresses.Book { return g.now.Load().book }
		ring     = keys.NewRing(keys.Stored(store), g.Clock, g.logger("server.tokens"))
		session  = sessions.New(store, ring, g.Clock, g.route())
		issuer   = tokens.NewIssuer(store, ring, g.Clock, g.logger("server.tokens"))
		front    = oauth.Front{Store: store, Book: book}
		clients  = clientauth.New(front, session, g.Clock, outgoing)
		tokenIn  = bearer.Checker{Front: front, Sessions: session, Issuer: issuer}
		ender    = &endsession.Ender{Store: store, Sessions: session, Issuer: issuer, HTTP: outgoing, Log: g.logger("server.tokens")}
		happened = g.happened(store, kept)

		protocols = map[string]authentication.Protocol{} // filled in below: each needs the processor
		processor = authentication.New(authentication.Config{Store: store, Logins: session, Hasher: g.hasher, Themes: pages, Protocols: protocols, Events: happened, Clock: g.Clock, Log: g.logger("server.authentication")})

		authorization = authorize.New(authorize.Config{Front: front, Sessions: session, Issuer: issuer, Login: processor, Pages: pages, Events: happened, Clock: g.Clock, Log: g.logger("server.endpoints")})
		accounts      = account.New(account.Config{Store: store, Book: book, Sessions: session, Starter: processor, Accounts: processor.Accounts(), Themes: pages, Ended: func(ctx context.Context, site addresses.Site, realm *model.Realm, u *model.UserSession) {
			ender.Tell(ctx, site, realm, u)
		}, Log: g.logger("server.endpoints")})
		known  = &wellknown.Endpoint{Front: front, Keys: ring, Log: g.logger("server.endpoints")}
		iframe = &status.Endpoint{Front: front}
		leave  = &logout.Endpoint{Front: front, Clients: clients, Sessions: session, Issuer: issuer, Ender: ender, Pages: pages, Events: happened, Log: g.logger("server.endpoints")}
	)
	protocols["openid-connect"] = authorization
	protocols[account.Protocol] = accounts

	mux := http.NewServeMux()
	root := book().Path() // a change of it is a reload
	port := g.redirectPort()
	at := func(path string, h http.Handler) {
		if strings.HasPrefix(path, "/realms/") {
			h = secured(front, port, h)
		}
		mux.Handle(root+path, h)
	}
	realm, openid := "/realms/{realm}", "/realms/{realm}/protocol/openid-connect"
	at(realm, http.HandlerFunc(known.Realm))
	at(realm+"/.well-known/openid-configuration", http.HandlerFunc(known.Discovery))
	at(openid+"/auth", authorization)
	at(openid+"/token", token.New(token.Config{Front: front, Clients: clients, Sessions: session, Issuer: issuer, Passwords: processor, Events: happened, Log: g.logger("server.endpoints")}))
	at(openid+"/token/introspect", &introspect.Endpoint{Front: front, Clients: clients, Bearer: tokenIn, Issuer: issuer, Events: happened, Log: g.logger("server.endpoints")})
	at(openid+"/userinfo", &userinfo.Endpoint{Front: front, Bearer: tokenIn, Issuer: issuer, Events: happened, Log: g.logger("server.endpoints")})
	at(openid+"/revoke", &revoke.Endpoint{Front: front, Clients: clients, Sessions: session, Issuer: issuer, Events: happened, Log: g.logger("server.endpoints")})
	at(openid+"/logout", leave)
	at(openid+"/certs", &certs.Endpoint{Front: front, Keys: ring, Log: g.logger("server.endpoints")})
	at(openid+"/login-status-iframe.html", http.HandlerFunc(iframe.Iframe))
	at(openid+"/login-status-iframe.html/init", http.HandlerFunc(iframe.Init))
	at(openid+"/3p-cookies/step1.html", http.HandlerFunc(iframe.Step1))
	at(openid+"/3p-cookies/step2.html", http.HandlerFunc(iframe.Step2))
	at(realm+"/login-actions/{action}", loginactions.New(loginactions.Config{Store: store, Book: book, Logins: session, Processor: processor, Themes: pages, Clock: g.Clock, Log: g.logger("server.endpoints")}))
	at(realm+"/account", accounts.Handler())
	at(realm+"/account/{action...}", accounts.Handler())
	at("/resources/", pages.Resources())
	mux.Handle("/", welcome.New(welcome.Config{Store: store, Master: g.now.Load().master, Book: book, Accounts: processor.Accounts(), Themes: pages, Clock: g.Clock, Log: g.logger("server.endpoints")}))
	return mux
}
