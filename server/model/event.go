package model

// Event is something that happened to a user or a client, as it is kept for
// those who administer a realm. Its JSON is Keycloak's EventRepresentation.
type Event struct {
	ID        string            `json:"id"`
	Time      int64             `json:"time"` // milliseconds since 1970
	Type      string            `json:"type"` // of a failure with _ERROR
	RealmID   string            `json:"realmId"`
	ClientID  string            `json:"clientId,omitempty"` // the client's clientId
	UserID    string            `json:"userId,omitempty"`
	SessionID string            `json:"sessionId,omitempty"`
	IPAddress string            `json:"ipAddress,omitempty"`
	Error     string            `json:"error,omitempty"` // a code, as invalid_grant
	Details   map[string]string `json:"details,omitempty"`
}

// AdminEvent is a change that an administrator made or tried. Its JSON is
// Keycloak's AdminEventRepresentation.
type AdminEvent struct {
	ID             string            `json:"id"`
	Time           int64             `json:"time"` // milliseconds since 1970
	RealmID        string            `json:"realmId"`
	Auth           AuthDetails       `json:"authDetails"`
	OperationType  string            `json:"operationType"` // CREATE, UPDATE, DELETE or ACTION
	ResourceType   string            `json:"resourceType"`  // as USER, CLIENT_ROLE
	ResourcePath   string            `json:"resourcePath"`  // as users/<id>
	Representation string            `json:"representation,omitempty"`
	Error          string            `json:"error,omitempty"`
	Details        map[string]string `json:"details,omitempty"`
}

// AuthDetails are who an administrator is.
type AuthDetails struct {
	RealmID   string `json:"realmId"`
	ClientID  string `json:"clientId"`
	UserID    string `json:"userId"`
	IPAddress string `json:"ipAddress"`
}

// EventFacts are what events of both kinds are found by.
type EventFacts struct {
	ID, RealmID                    string
	Time                           int64
	Type, ClientID, UserID, Remote string
	Resource, Path                 string // of an AdminEvent
}

// Happening is an Event or an AdminEvent.
type Happening interface {
	Facts() EventFacts
	SetID(id string)
}

// Facts implements Happening.
func (e *Event) Facts() EventFacts {
	return EventFacts{ID: e.ID, RealmID: e.RealmID, Time: e.Time, Type: e.Type, ClientID: e.ClientID, UserID: e.UserID, Remote: e.IPAddress}
}

// SetID implements Happening.
func (e *Event) SetID(id string) { e.ID = id }

// Facts implements Happening: client, user and address are the administrator's.
func (e *AdminEvent) Facts() EventFacts {
	return EventFacts{
		ID: e.ID, RealmID: e.RealmID, Time: e.Time, Type: e.OperationType, ClientID: e.Auth.ClientID, UserID: e.Auth.UserID,
		Remote: e.Auth.IPAddress, Resource: e.ResourceType, Path: e.ResourcePath,
	}
}

// SetID implements Happening.
func (e *AdminEvent) SetID(id string) { e.ID = id }
