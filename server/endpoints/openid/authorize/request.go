package authorize

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// maxParameter is the most bytes that one parameter may have: they travel in
// cookies and redirects.
const maxParameter = 4000

// request is an authorization request, parsed once.
type request struct {
	clientID, redirectURI       string
	responseType, responseMode  string
	scope, state, nonce         string
	prompt, maxAge              string
	loginHint, idTokenHint      string
	uiLocales, acrValues        string
	challenge, challengeMethod  string
	object, objectURI, register string // request, request_uri, registration
	repeated                    string // a parameter that occurs twice
	target                      string // where the browser goes back: checked
}

// read parses the query, or the form of a POST.
func read(r *http.Request) (*request, error) {
	var v url.Values
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		v = r.URL.Query()
	case http.MethodPost:
		form, err := httpio.Form(r)
		if problem.Is(err, problem.Invalid) {
			return nil, oauth.Refuse(oauth.InvalidRequest, "invalidRequestMessage").Because(err)
		}
		if err != nil {
			return nil, err
		}
		v = form
		if len(v) == 0 {
			v = r.URL.Query()
		}
	default:
		return nil, &oauth.Error{Status: http.StatusMethodNotAllowed, Code: oauth.InvalidRequest, Description: "invalidRequestMessage"}
	}
	q := &request{repeated: httpio.Repeated(v, "resource", "audience")}
	for name, at := range q.fields() {
		*at = v.Get(name)
		if len(*at) > maxParameter && name != "id_token_hint" && name != "request" {
			*at = ""
			if name == "redirect_uri" || name == "client_id" || name == "state" {
				return nil, oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: "+name)
			}
		}
	}
	return q, nil
}

// fields are the parameters that a request keeps.
func (q *request) fields() map[string]*string {
	return map[string]*string{
		"client_id": &q.clientID, "redirect_uri": &q.redirectURI, "response_type": &q.responseType, "response_mode": &q.responseMode,
		"scope": &q.scope, "state": &q.state, "nonce": &q.nonce, "prompt": &q.prompt, "max_age": &q.maxAge,
		"login_hint": &q.loginHint, "id_token_hint": &q.idTokenHint, "ui_locales": &q.uiLocales, "acr_values": &q.acrValues,
		"code_challenge": &q.challenge, "code_challenge_method": &q.challengeMethod,
		"request": &q.object, "request_uri": &q.objectURI, "registration": &q.register,
	}
}

// notes are what the login's tab keeps of the request.
func (q *request) notes() map[string]string {
	notes := map[string]string{}
	for name, value := range q.fields() {
		if *value != "" && name != "id_token_hint" {
			notes[name] = *value
		}
	}
	return notes
}

// requestOf is the request that a tab keeps.
func requestOf(tab *model.AuthenticationTab) *request {
	q := &request{target: tab.RedirectURI}
	for name, at := range q.fields() {
		*at = tab.ClientNotes[name]
	}
	return q
}

func (q *request) openID() bool { return slices.Contains(strings.Fields(q.scope), tokens.OpenID) }

// has reports whether "prompt" has a value.
func (q *request) has(prompt string) bool { return slices.Contains(strings.Fields(q.prompt), prompt) }

// challengeForm is RFC 7636, section 4.2.
var challengeForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// validate refuses what the client may not ask for; it is told by redirect.
func (e *Endpoint) validate(ctx context.Context, v oauth.Visit, client *model.Client, q *request) error {
	switch {
	case q.repeated != "":
		return oauth.Refuse(oauth.InvalidRequest, "duplicated parameter")
	case q.object != "":
		return oauth.Refuse(oauth.RequestNotSupported, "")
	case q.objectURI != "":
		return oauth.Refuse(oauth.RequestURINotSupported, "")
	case q.register != "":
		return oauth.Refuse(oauth.RegistrationUnsupported, "")
	case q.responseType == "":
		return oauth.Refuse(oauth.InvalidRequest, "Missing parameter: response_type")
	case q.responseType != "code":
		return oauth.Refuse(oauth.UnsupportedResponseType, "")
	case !client.StandardFlow():
		return oauth.Refuse(oauth.UnauthorizedClient, "Client is not allowed to initiate browser login with given response_type. Standard flow is disabled for the client.")
	case !slices.Contains([]string{"", "query", "fragment", "form_post"}, q.responseMode):
		return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: response_mode")
	case q.has("none") && len(strings.Fields(q.prompt)) > 1:
		return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: prompt")
	}
	if q.maxAge != "" {
		if n, err := strconv.Atoi(q.maxAge); err != nil || n < 0 {
			return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: max_age")
		}
	}
	if err := q.checkPKCE(client); err != nil {
		return err
	}
	err := e.Issuer.Scope(ctx, v.Realm, client, q.scope)
	if _, unknown := errors.AsType[tokens.UnknownScope](err); unknown {
		return oauth.Refuse(oauth.InvalidScope, "Invalid scopes: "+q.scope)
	}
	return err
}

// checkPKCE holds the challenge against RFC 7636, section 4.3, and against the
// method that the client's settings demand.
func (q *request) checkPKCE(client *model.Client) error {
	demanded := client.Attribute("pkce.code.challenge.method")
	if q.challenge == "" && q.challengeMethod == "" {
		if demanded != "" {
			return oauth.Refuse(oauth.InvalidRequest, "Missing parameter: code_challenge_method")
		}
		return nil
	}
	if q.challenge == "" {
		return oauth.Refuse(oauth.InvalidRequest, "Missing parameter: code_challenge")
	}
	if q.challengeMethod == "" {
		if demanded != "" {
			return oauth.Refuse(oauth.InvalidRequest, "Missing parameter: code_challenge_method")
		}
		q.challengeMethod = "plain"
	}
	switch {
	case q.challengeMethod != "S256" && q.challengeMethod != "plain":
		return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: code_challenge_method")
	case demanded != "" && q.challengeMethod != demanded:
		return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: code challenge method is not matching the configured one")
	case !challengeForm.MatchString(q.challenge):
		return oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: code_challenge")
	}
	return nil
}
