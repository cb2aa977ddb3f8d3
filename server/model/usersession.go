package model

// UserSession is one login of a user in a browser or by a grant, with the
// session of each client it is used with. Times are seconds since 1970.
type UserSession struct {
	ID              string                    `json:"id"`
	RealmID         string                    `json:"realmId"`
	UserID          string                    `json:"userId"`
	Offline         bool                      `json:"offline,omitempty"`
	LoginUsername   string                    `json:"loginUsername,omitempty"`
	IPAddress       string                    `json:"ipAddress,omitempty"`
	AuthMethod      string                    `json:"authMethod,omitempty"`
	RememberMe      bool                      `json:"rememberMe,omitempty"`
	State           string                    `json:"state,omitempty"` // LOGGED_IN, LOGGING_OUT, LOGGED_OUT
	BrokerSessionID string                    `json:"brokerSessionId,omitempty"`
	BrokerUserID    string                    `json:"brokerUserId,omitempty"`
	Started         int64                     `json:"started"`
	LastAccess      int64                     `json:"lastAccess"`
	Expires         int64                     `json:"expires"` // the sweep removes it after; 0 is never
	Notes           map[string]string         `json:"notes,omitempty"`
	Clients         map[string]*ClientSession `json:"-"` // by the client's id; stored by themselves
}

// ClientSession is a user session's use with one client.
type ClientSession struct {
	ClientID    string            `json:"clientId"` // the client's id, not its clientId
	RedirectURI string            `json:"redirectUri,omitempty"`
	Action      string            `json:"action,omitempty"`
	Protocol    string            `json:"protocol,omitempty"`
	Started     int64             `json:"started"`
	LastAccess  int64             `json:"lastAccess"`
	Notes       map[string]string `json:"notes,omitempty"` // scope, nonce, issuer ... and what rotation keeps

	// Refresh rotation: the token that counts now, and how often it was used.
	CurrentRefreshToken         string `json:"currentRefreshToken,omitempty"`
	CurrentRefreshTokenUseCount int    `json:"currentRefreshTokenUseCount,omitempty"`
}
