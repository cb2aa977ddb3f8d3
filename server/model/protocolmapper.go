package model

// ProtocolMapper puts something into tokens or documents of a protocol.
type ProtocolMapper struct {
	Document
	ID             string            `json:"id"`
	Name           string            `json:"name"`
	Protocol       string            `json:"protocol"`
	ProtocolMapper string            `json:"protocolMapper"` // the provider, such as oidc-audience-mapper
	Config         map[string]string `json:"config"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (m *ProtocolMapper) UnmarshalJSON(data []byte) error {
	type plain ProtocolMapper
	fresh := plain{}
	fresh.Meta = m.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*m = ProtocolMapper(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (m ProtocolMapper) MarshalJSON() ([]byte, error) {
	type plain ProtocolMapper
	return encode(plain(m), &m.Document)
}
