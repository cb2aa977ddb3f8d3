// Package authentication owns how a person proves who they are: it walks a
// realm's flow of executions, asks for what is missing, runs the required
// actions and the consent that come after, and counts wrong guesses. It knows
// no protocol (openid and saml implement Protocol), no endpoint's address
// parsing, no SQL and no HTML (pages are the themes').
//
// Executions never call each other. Each returns challenge, success, attempted
// or failure to the Processor, which keeps the state of a login in its tab:
// any server can go on with it.
package authentication

import (
	"net/http"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
)

// Reason is why a login ended without a user.
type Reason string

// The reasons a Protocol is told.
const (
	LoginRequired       Reason = "login_required"       // passive, and nobody is logged in
	InteractionRequired Reason = "interaction_required" // passive, and a required action waits
	ConsentRequired     Reason = "consent_required"     // passive, and the user never consented
	AccessDenied        Reason = "access_denied"        // the user refused
	Unavailable         Reason = "temporarily_unavailable"
)

// Protocol is what began a login and takes over at its end. Boot hands one to
// the Processor for each name that tabs carry ("openid-connect").
type Protocol interface {
	// Authenticated answers the browser of a user whose sessions are stored,
	// usually with a redirect to the client.
	Authenticated(w http.ResponseWriter, r *http.Request, l *sessions.Login, o *sessions.Outcome)
	// Failed answers the browser of a login that ended without a user. The tab is
	// forgotten already.
	Failed(w http.ResponseWriter, r *http.Request, l *sessions.Login, why Reason)
	// Reauthenticate reports whether the login asks for credentials although the
	// browser has this session: prompt=login, or max_age is over.
	Reauthenticate(l *sessions.Login, session *model.UserSession) bool
}

// Starter is the part of the Processor that a protocol calls: it runs a login
// from where its tab stands, and answers the browser with a page or through the
// tab's Protocol.
type Starter interface {
	Run(w http.ResponseWriter, r *http.Request, l *sessions.Login, o Options)
}

// Options of one run of a login.
type Options struct {
	// Passive never shows a page: prompt=none.
	Passive bool
}
