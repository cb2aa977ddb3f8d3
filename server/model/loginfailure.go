package model

// LoginFailure counts a user's failed logins. Times are seconds since 1970
// unless the name says otherwise.
type LoginFailure struct {
	UserID               string `json:"userId"`
	NumFailures          int    `json:"numFailures"`
	NumTemporaryLockouts int    `json:"numTemporaryLockouts"`
	LastFailureMillis    int64  `json:"lastFailure"` // milliseconds since 1970
	LastIPFailure        string `json:"lastIPFailure,omitempty"`
	NotBefore            int64  `json:"notBefore"` // no login until then
	Expires              int64  `json:"expires"`   // the sweep removes it after; 0 is never
}
