// Package oauth owns what the endpoints of OpenID Connect share before and
// after their own work: finding the realm of a request, demanding TLS, telling
// errors in the words of RFC 6749, and cross-origin rules. It knows neither
// what a token holds nor how a grant is decided.
package oauth

import (
	"errors"
	"net/http"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The error codes of RFC 6749 (section 5.2), RFC 6750 (section 3.1) and OpenID
// Connect Core (section 3.1.2.6).
const (
	InvalidRequest          = "invalid_request"
	InvalidClient           = "invalid_client"
	InvalidGrant            = "invalid_grant"
	InvalidScope            = "invalid_scope"
	InvalidToken            = "invalid_token"
	UnauthorizedClient      = "unauthorized_client"
	UnsupportedGrantType    = "unsupported_grant_type"
	UnsupportedResponseType = "unsupported_response_type"
	UnsupportedTokenType    = "unsupported_token_type"
	AccessDenied            = "access_denied"
	InsufficientScope       = "insufficient_scope"
	LoginRequired           = "login_required"
	InteractionRequired     = "interaction_required"
	ConsentRequired         = "consent_required"
	RequestNotSupported     = "request_not_supported"
	RequestURINotSupported  = "request_uri_not_supported"
	RegistrationUnsupported = "registration_not_supported"
	ServerError             = "server_error"
	TemporarilyUnavailable  = "temporarily_unavailable"
)

// Error is an error of the protocol, as the client sees it.
type Error struct {
	Status      int    // of HTTP
	Code        string // "error"
	Description string // "error_description"; Keycloak's words where it has some
	Cause       error  // for the log only
}

// Error is the code and the description.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Because gives the error its cause.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// Refuse is an error of status 400.
func Refuse(code, description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: code, Description: description}
}

// Deny is an error of status 401.
func Deny(code, description string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: code, Description: description}
}

// Forbid is an error of status 403.
func Forbid(code, description string) *Error {
	return &Error{Status: http.StatusForbidden, Code: code, Description: description}
}

// OnlyPost refuses a request that is not a POST.
func OnlyPost(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return nil
	}
	w.Header().Set("Allow", http.MethodPost)
	return &Error{Status: http.StatusMethodNotAllowed, Code: InvalidRequest, Description: "Method not allowed"}
}

// From is err as an error of the protocol; what is none of it becomes
// server_error, temporarily_unavailable or a 413, without its text.
func From(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	switch problem.KindOf(err) {
	case problem.TooLarge:
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: InvalidRequest, Description: "Request body too large", Cause: err}
	case problem.Unavailable, problem.Timeout:
		return &Error{Status: http.StatusServiceUnavailable, Code: TemporarilyUnavailable, Description: "Try again", Cause: err}
	case problem.Invalid:
		return Refuse(InvalidRequest, "Invalid request").Because(err)
	}
	return &Error{Status: http.StatusInternalServerError, Code: ServerError, Description: "Unexpected error", Cause: err}
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// Write answers with the error as JSON (RFC 6749, section 5.2).
func Write(w http.ResponseWriter, err error) {
	e := From(err)
	httpio.NoStore(w.Header())
	if e.Status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" && e.Code == InvalidClient {
		w.Header().Set("WWW-Authenticate", `Basic realm="Gatehouse"`)
	}
	httpio.JSON(w, e.Status, errorBody{e.Code, e.Description})
}

// WriteBearer answers a request with a bad or missing access token (RFC 6750,
// section 3). A request without any credentials gets no error code.
func WriteBearer(w http.ResponseWriter, realm string, err error) {
	e := From(err)
	challenge := `Bearer realm="` + realm + `"`
	if e.Code != "" {
		challenge += `, error="` + e.Code + `", error_description="` + e.Description + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	httpio.NoStore(w.Header())
	httpio.JSON(w, e.Status, errorBody{e.Code, e.Description})
}
