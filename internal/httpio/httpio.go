// Package httpio owns what every HTTP endpoint does alike: limits on request
// bodies, forms parsed once, JSON answers, and the headers about caching,
// framing and cross-origin calls. It knows no product noun.
package httpio

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// DefaultBodyLimit is the most bytes a request body may have: far above any
// form of OpenID Connect, far below what would hurt.
const DefaultBodyLimit = 1 << 20

// LimitBody refuses bodies of more than limit bytes: with 413 at once when the
// length is announced, otherwise when the handler reads past the limit.
func LimitBody(limit int64, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			http.Error(w, "request body too large", http.StatusRequestEntityTooLarge)
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, limit)
		}
		next.ServeHTTP(w, r)
	})
}

// Form parses the body of a form post. Errors are problem.TooLarge for a body
// over its limit and problem.Invalid for anything that is not a form.
func Form(r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, problem.Invalid.Errorf("cannot read the form: Content-Type is %q, not application/x-www-form-urlencoded",
			r.Header.Get("Content-Type"))
	}
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, problem.TooLarge.Errorf("cannot read the form: it is over %d bytes", tooLarge.Limit)
		}
		return nil, problem.Invalid.Errorf("cannot read the form: %w", err)
	}
	return r.PostForm, nil
}

// Repeated is the name of a parameter that occurs more than once, or "". OAuth
// forbids repeated parameters (RFC 6749, sections 3.1 and 3.2); those in
// allowed may repeat (RFC 8693: audience, resource).
func Repeated(v url.Values, allowed ...string) string {
next:
	for name, values := range v {
		if len(values) < 2 {
			continue
		}
		for _, a := range allowed {
			if a == name {
				continue next
			}
		}
		return name
	}
	return ""
}

// JSON answers with v as a JSON document.
func JSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":"unknown_error"}`, http.StatusInternalServerError)
		return
	}
	JSONBytes(w, status, body)
}

// JSONBytes answers with a JSON document that is encoded already.
func JSONBytes(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}

// NoStore forbids every cache to keep the answer (RFC 6749, section 5.1).
func NoStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// Security sets the headers that hold for every answer.
func Security(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
}

// CORS says which pages of other origins may read an endpoint's answers.
type CORS struct {
	Methods string   // as in Access-Control-Allow-Methods
	Expose  []string // headers of the answer that the page may read
}

// Preflight answers a CORS preflight and reports whether r was one. A preflight
// carries no credentials, so any origin is told that it may ask; Allow decides
// on the real request.
func (c CORS) Preflight(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if r.Method != http.MethodOptions {
		return false
	}
	if origin != "" {
		c.allow(w.Header(), origin)
		w.Header().Set("Access-Control-Allow-Methods", c.Methods)
		w.Header().Set("Access-Control-Allow-Headers", "Origin, Accept, X-Requested-With, Content-Type, Access-Control-Request-Method, Access-Control-Request-Headers, DPoP, Authorization")
		w.Header().Set("Access-Control-Max-Age", "3600")
	}
	w.Header().Set("Allow", c.Methods+", OPTIONS")
	w.WriteHeader(http.StatusOK)
	return true
}

// Allow lets the page that sent r read the answer when its origin is in
// origins; "*" admits every origin.
func (c CORS) Allow(w http.ResponseWriter, r *http.Request, origins []string) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	for _, o := range origins {
		if o == "*" || o == origin {
			c.allow(w.Header(), origin)
			return
		}
	}
}

// AllowAny lets the page of any origin read the answer: for public documents
// and errors that happen before the client is known.
func (c CORS) AllowAny(w http.ResponseWriter, r *http.Request) { c.Allow(w, r, []string{"*"}) }

func (c CORS) allow(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	for _, name := range c.Expose {
		h.Add("Access-Control-Expose-Headers", name)
	}
}
