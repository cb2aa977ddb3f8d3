package model

// AuthenticationSession is a login that is under way in one browser, with a
// tab for each page it was begun in. Times are seconds since 1970.
type AuthenticationSession struct {
	ID      string                        `json:"id"`
	RealmID string                        `json:"realmId"`
	Started int64                         `json:"started"`
	Expires int64                         `json:"expires"` // the sweep removes it after
	Tabs    map[string]*AuthenticationTab `json:"tabs"`    // by tab id
}

// AuthenticationTab is one login page of an AuthenticationSession.
type AuthenticationTab struct {
	ID               string            `json:"id"`
	ClientID         string            `json:"clientId"` // the client's id, not its clientId
	Started          int64             `json:"started"`
	Protocol         string            `json:"protocol,omitempty"`
	RedirectURI      string            `json:"redirectUri,omitempty"`
	Action           string            `json:"action,omitempty"`
	UserID           string            `json:"userId,omitempty"` // set once a step knows who it is
	ClientScopes     []string          `json:"clientScopes,omitempty"`
	RequiredActions  []string          `json:"requiredActions,omitempty"`
	ExecutionStatus  map[string]string `json:"executionStatus,omitempty"` // execution id -> status
	ClientNotes      map[string]string `json:"clientNotes,omitempty"`
	AuthNotes        map[string]string `json:"authNotes,omitempty"`
	UserSessionNotes map[string]string `json:"userSessionNotes,omitempty"`
}
