package hostagent

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// domainOf says how the domain is reached and joined.
func domainOf(c Config) (token *controllerlink.Token, addresses []string, err error) {
	addresses = append(addresses, c.Controllers...)
	if c.JoinToken == "" {
		return nil, addresses, nil
	}
	t, err := controllerlink.ParseToken(c.JoinToken)
	return &t, addresses, err
}

// lookup is where expressions find values that the model does not have.
func (a *Agent) lookup() servergroups.Lookup {
	env := map[string]string{}
	for _, e := range a.config.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return servergroups.Lookup{Properties: a.config.Properties, Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}}
}

