// Package status owns the pages that an application embeds to see whether its
// user's session changed (OpenID Connect Session Management, section 3.3), and
// whether the browser sends us cookies when another site embeds us. It speaks
// the messages that Keycloak's JavaScript adapter speaks.
package status

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Endpoint serves the pages of all realms.
type Endpoint struct{ Front oauth.Front }

// checkSession answers "clientId sessionState" with "changed", "unchanged" or
// "error". Whether the client may ask is asked once of /init.
const checkSession = `
"use strict";
var allowed = {};
function cookie(name) {
  var found = document.cookie.split("; ").find(function (c) { return c.indexOf(name + "=") === 0; });
  return found ? decodeURIComponent(found.slice(name.length + 1)).replace(/^"|"$/g, "") : "";
}
async function hash(text) {
  var sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return btoa(String.fromCharCode.apply(null, new Uint8Array(sum))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
async function permitted(client, origin) {
  var key = client + " " + origin;
  if (!(key in allowed)) {
    var answer = await fetch(location.pathname + "/init?client_id=" + encodeURIComponent(client) + "&origin=" + encodeURIComponent(origin));
    allowed[key] = answer.status === 204;
  }
  return allowed[key];
}
async function check(client, origin, session) {
  if (!(await permitted(client, origin))) { return "error"; }
  var now = cookie("` + sessions.SessionCookie + `");
  if (!now || !session) { return now || session ? "changed" : "unchanged"; }
  return (await hash(session)) === now ? "unchanged" : "changed";
}
window.addEventListener("message", function (event) {
  if (typeof event.data !== "string" || event.data.indexOf(" ") < 0) { return; }
  var at = event.data.lastIndexOf(" ");
  check(event.data.slice(0, at), event.origin, event.data.slice(at + 1)).then(
    function (answer) { event.source.postMessage(answer, event.origin); },
    function () { event.source.postMessage("error", event.origin); });
});
`

// The two steps of the cookie test: the first sets a cookie, the second tells
// the embedding page whether it came back.
const (
	cookieStep1 = `
"use strict";
document.cookie = "KEYCLOAK_3P_COOKIE=supported; SameSite=None; Secure; path=" + location.pathname.replace(/[^/]*$/, "");
location.href = "step2.html";
`
	cookieStep2 = `
"use strict";
var works = document.cookie.indexOf("KEYCLOAK_3P_COOKIE=supported") >= 0;
document.cookie = "KEYCLOAK_3P_COOKIE=; SameSite=None; Secure; Max-Age=0; path=" + location.pathname.replace(/[^/]*$/, "");
parent.postMessage(works ? "supported" : "unsupported", "*");
`
)

// Iframe serves login-status-iframe.html.
func (e *Endpoint) Iframe(w http.ResponseWriter, r *http.Request) { e.script(w, r, checkSession) }

// Step1 serves 3p-cookies/step1.html.
func (e *Endpoint) Step1(w http.ResponseWriter, r *http.Request) { e.script(w, r, cookieStep1) }

// Step2 serves 3p-cookies/step2.html.
func (e *Endpoint) Step2(w http.ResponseWriter, r *http.Request) { e.script(w, r, cookieStep2) }

// Init answers 204 when pages of an origin may ask about a client's users, 403
// when not.
func (e *Endpoint) Init(w http.ResponseWriter, r *http.Request) {
	v, err := e.Front.Open(r)
	if err != nil {
		oauth.Write(w, err)
		return
	}
	q := r.URL.Query()
	client, err := e.Front.Client(r.Context(), v.Realm, q.Get("client_id"))
	if err != nil && !problem.Is(err, problem.NotFound) {
		oauth.Write(w, err)
		return
	}
	origin := q.Get("origin")
	if err != nil || !client.IsEnabled() || origin != v.Site.Origin() && !client.AllowsOrigin(origin, v.Base()) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// script answers with a page that is nothing but a script. Any site may frame
// it: that is what it is for.
func (e *Endpoint) script(w http.ResponseWriter, r *http.Request, script string) {
	if _, err := e.Front.Open(r); err != nil {
		oauth.Write(w, err)
		return
	}
	sum := sha256.Sum256([]byte(script))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Session</title></head><body><script>" + script + "</script></body></html>\n"))
}
