package model

// Consent is what a user has let a client have.
type Consent struct {
	Document
	ClientID            string   `json:"clientId"`
	GrantedClientScopes []string `json:"grantedClientScopes"`
	CreatedDate         int64    `json:"createdDate"`     // milliseconds since 1970
	LastUpdatedDate     int64    `json:"lastUpdatedDate"` // milliseconds since 1970
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (c *Consent) UnmarshalJSON(data []byte) error {
	type plain Consent
	fresh := plain{}
	fresh.Meta = c.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*c = Consent(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (c Consent) MarshalJSON() ([]byte, error) {
	type plain Consent
	return encode(plain(c), &c.Document)
}
