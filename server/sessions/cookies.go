package sessions

import (
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

// The cookies of a realm, with Keycloak's names.
const (
	AuthSessionCookie = "AUTH_SESSION_ID"      // <root session>.<node>: which login, and where its server is
	IdentityCookie    = "KEYCLOAK_IDENTITY"    // signed JWT: who is logged in
	SessionCookie     = "KEYCLOAK_SESSION"     // hash of the session, for the session-state iframe
	RestartCookie     = "KC_RESTART"           // signed JWT: how to begin an expired login again
	RememberMeCookie  = "KEYCLOAK_REMEMBER_ME" // the username to offer next time
)

// cookieRule is who may send and read a cookie.
type cookieRule struct {
	script   bool          // page scripts may read it
	internal bool          // only sent by pages of this site
	life     time.Duration // 0: until the browser closes
}

// setCookie sets a realm's cookie. Cookies of single sign-on must come along
// when another site embeds or posts to us: SameSite=None, which browsers accept
// with Secure only; without TLS the best there is, is Lax.
func setCookie(w http.ResponseWriter, site addresses.Site, realm, name, value string, rule cookieRule) {
	c := &http.Cookie{
		Name: name, Value: value, Path: site.CookiePath(realm),
		HttpOnly: !rule.script, Secure: site.Secure, SameSite: http.SameSiteLaxMode,
	}
	switch {
	case rule.internal:
		c.SameSite = http.SameSiteStrictMode
	case site.Secure:
		c.SameSite = http.SameSiteNoneMode
	}
	if rule.life > 0 {
		c.MaxAge = int(rule.life / time.Second)
	}
	http.SetCookie(w, c)
}

// dropCookie makes the browser forget a realm's cookie.
func dropCookie(w http.ResponseWriter, site addresses.Site, realm, name string) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Path: site.CookiePath(realm), MaxAge: -1, HttpOnly: true, Secure: site.Secure,
		Expires: time.Unix(1, 0).UTC(),
	})
}

// cookie is the value of a cookie of r, "" if it has none.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// sticky is the value of AUTH_SESSION_ID: a load balancer reads the node behind
// the last dot.
func sticky(id, node string) string {
	if node == "" {
		return id
	}
	return id + "." + node
}

// unstick is the session's id of an AUTH_SESSION_ID; ids have no dots, names of
// nodes may.
func unstick(value string) string {
	id, _, _ := strings.Cut(value, ".")
	return id
}
