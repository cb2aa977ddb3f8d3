package model

// Execution is one step of a flow: an authenticator or another flow.
type Execution struct {
	Document
	ID                  string `json:"id"`
	Authenticator       string `json:"authenticator"`
	AuthenticatorConfig string `json:"authenticatorConfig"` // alias of an AuthenticatorConfig
	AuthenticatorFlow   bool   `json:"authenticatorFlow"`
	FlowAlias           string `json:"flowAlias"`
	Requirement         string `json:"requirement"` // REQUIRED, ALTERNATIVE, CONDITIONAL, DISABLED; OPTIONAL before Keycloak 8
	Priority            int    `json:"priority"`
	UserSetupAllowed    bool   `json:"userSetupAllowed"`
	// Misspelt is AuthenticatorFlow as Keycloak wrote it before version 15.
	Misspelt bool `json:"autheticatorFlow"`
}

// IsFlow reports whether the step is another flow, FlowAlias.
func (e *Execution) IsFlow() bool { return e.AuthenticatorFlow || e.Misspelt || e.FlowAlias != "" }

// UnmarshalJSON reads the representation and keeps what has no field.
func (e *Execution) UnmarshalJSON(data []byte) error {
	type plain Execution
	fresh := plain{}
	fresh.Meta = e.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*e = Execution(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (e Execution) MarshalJSON() ([]byte, error) {
	type plain Execution
	return encode(plain(e), &e.Document)
}
