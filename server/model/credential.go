package model

// Credential is a password, a one-time-password device or another proof of a
// user. SecretData, Value, HashedSaltedValue and Salt are secret.
type Credential struct {
	Document
	ID             string `json:"id"`
	Type           string `json:"type"` // password, otp, webauthn ...
	UserLabel      string `json:"userLabel"`
	CreatedDate    int64  `json:"createdDate"`    // milliseconds since 1970
	SecretData     string `json:"secretData"`     // JSON text
	CredentialData string `json:"credentialData"` // JSON text
	Priority       int    `json:"priority"`
	Temporary      bool   `json:"temporary"`
	Value          string `json:"value"` // clear text, only on its way in: hash it and clear it

	// Before Keycloak 8.
	Device            string `json:"device"`
	HashedSaltedValue string `json:"hashedSaltedValue"`
	Salt              string `json:"salt"` // base64
	HashIterations    int    `json:"hashIterations"`
	Counter           int    `json:"counter"`
	Algorithm         string `json:"algorithm"`
	Digits            int    `json:"digits"`
	Period            int    `json:"period"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (c *Credential) UnmarshalJSON(data []byte) error {
	type plain Credential
	fresh := plain{}
	fresh.Meta = c.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*c = Credential(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (c Credential) MarshalJSON() ([]byte, error) {
	type plain Credential
	return encode(plain(c), &c.Document)
}
