package model

// Flow is a list of executions that authenticates someone or something.
type Flow struct {
	Document
	ID          string      `json:"id"`
	Alias       string      `json:"alias"`
	Description string      `json:"description"`
	ProviderID  string      `json:"providerId"` // basic-flow, client-flow or form-flow
	TopLevel    bool        `json:"topLevel"`
	BuiltIn     bool        `json:"builtIn"`
	Executions  []Execution `json:"authenticationExecutions"`
}

// Ident is the flow's id and alias.
func (f *Flow) Ident() (id, name string) { return f.ID, f.Alias }

// SetID gives the flow its id.
func (f *Flow) SetID(id string) { f.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (f *Flow) UnmarshalJSON(data []byte) error {
	type plain Flow
	fresh := plain{}
	fresh.Meta = f.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*f = Flow(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (f Flow) MarshalJSON() ([]byte, error) {
	type plain Flow
	return encode(plain(f), &f.Document)
}
