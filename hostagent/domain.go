package hostagent

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// localController is where a controller on this machine listens by default.
const localController = "127.0.0.1:9999"

// domainOf says how the domain is reached and joined: what the command line
// says goes before the host's file. A file that is named there is relative to
// the agent's directory.
func domainOf(c Config) (token *controllerlink.Token, addresses []string, err error) {
	file, err := c.HostFile.Resolve(c.lookup())
	if err != nil {
		return nil, nil, err
	}
	addresses = append(append(addresses, c.Controllers...), file.Addresses...)
	if len(addresses) == 0 {
		addresses = []string{localController}
		if !file.Local {
			return nil, nil, problem.Invalid.Errorf("cannot reach the domain: host %q names no controller; set domain-controller.remote.addresses in its file, or --domain-controller", c.HostFile.Name)
		}
	}
	text := c.JoinToken
	if text == "" && file.JoinToken != "" {
		if text, err = c.secretFile(file.JoinToken); err != nil {
			return nil, nil, err
		}
	}
	if text != "" {
		t, err := controllerlink.ParseToken(text)
		if err != nil {
			return nil, nil, err
		}
		if t.Host != c.HostFile.Name {
			return nil, nil, problem.Invalid.Errorf("cannot join the domain: the join token is of host %q, this host is %q", t.Host, c.HostFile.Name)
		}
		return &t, addresses, nil
	}
	if file.SecretFile != "" {
		if file.Secret, err = c.secretFile(file.SecretFile); err != nil {
			return nil, nil, err
		}
	}
	if file.Secret == "" {
		return nil, addresses, nil // its certificate must do
	}
	if file.Fingerprint == "" {
		return nil, nil, problem.Invalid.Errorf("cannot join the domain: host %q has a secret but no fingerprint of the domain's authority, so a false controller could not be told from a true one; set domain-controller.remote.fingerprint, or use a join token", c.HostFile.Name)
	}
	return &controllerlink.Token{Host: cmp.Or(file.Username, c.HostFile.Name), Secret: file.Secret, Fingerprint: file.Fingerprint}, addresses, nil
}

func (c Config) secretFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Dir, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", problem.Invalid.Errorf("cannot read the secret of host %q: %w", c.HostFile.Name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// lookup is where expressions find values that the model does not have.
func (c Config) lookup() servergroups.Lookup {
	env := map[string]string{}
	for _, e := range c.Env {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return servergroups.Lookup{Properties: c.Properties, Env: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}}
}

// operations make this host in the domain, in JSON.
func operations(file servergroups.HostFile) ([]byte, error) {
	data, err := json.Marshal(file.Operations())
	if err != nil {
		return nil, problem.Internal.Errorf("cannot tell the domain of host %q: %w", file.Name, err)
	}
	return data, nil
}
