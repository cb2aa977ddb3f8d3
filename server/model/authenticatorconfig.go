package model

// AuthenticatorConfig is the configuration of an execution.
type AuthenticatorConfig struct {
	Document
	ID     string            `json:"id"`
	Alias  string            `json:"alias"`
	Config map[string]string `json:"config"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (a *AuthenticatorConfig) UnmarshalJSON(data []byte) error {
	type plain AuthenticatorConfig
	fresh := plain{}
	fresh.Meta = a.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*a = AuthenticatorConfig(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (a AuthenticatorConfig) MarshalJSON() ([]byte, error) {
	type plain AuthenticatorConfig
	return encode(plain(a), &a.Document)
}
