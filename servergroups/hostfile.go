package servergroups

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// HostFile is what a host's own file says: who it is, where its controllers
// are, and which servers it keeps. When it registers, its part of the model is
// merged into the domain as /host=<name>; see Operation.
type HostFile struct {
	Name       string
	Controller DomainController
	tree       profiles.Tree
}

// DomainController says how a host reaches the domain. Values may be
// expressions, resolved by Resolve.
type DomainController struct {
	Local       bool     // a controller runs on this machine, with this agent
	Addresses   []string // host:port, tried in this order and then again
	Username    string   // the host's name when left out
	Secret      string   // the host's shared secret; see also SecretFile
	SecretFile  string
	Fingerprint string // of the domain's certificate authority
	JoinToken   string // a file with secret and fingerprint in one
}

// hostFile describes the file: what a host resource has, its name, and the way
// to the controllers. A server-config may be written as server there.
func hostFile() (*profiles.Description, error) {
	host, err := profiles.Domain.Describe(profiles.Address{{Type: "host", Name: profiles.Wildcard}})
	if err != nil {
		return nil, err
	}
	d := &profiles.Description{
		Text: "A host's file.",
		Attributes: append([]profiles.Attribute{
			{Name: "name", Type: profiles.String, Required: true, Text: "The host's name in the domain."},
		}, host.Attributes...),
		Children: []profiles.Child{
			{Type: "domain-controller", Name: "local", Description: &profiles.Description{Text: "A controller runs in this process or on this machine."}},
			{Type: "domain-controller", Name: "remote", Description: remoteController()},
		},
	}
	for _, c := range host.Children {
		if c.Runtime {
			continue
		}
		d.Children = append(d.Children, c)
		if c.Type == "server-config" {
			c.Type = "server"
			d.Children = append(d.Children, c)
		}
	}
	return d, nil
}

func remoteController() *profiles.Description {
	return &profiles.Description{
		Text: "The controllers, and how this host shows who it is.",
		Attributes: []profiles.Attribute{
			{Name: "addresses", Type: profiles.List, Text: "host:port of each controller."},
			{Name: "username", Type: profiles.String, Text: "The name that the secret was made for; the host's when left out."},
			{Name: "secret", Type: profiles.String, Sensitive: true, Text: "The secret that add-user printed."},
			{Name: "security-realm", Type: profiles.String, Text: "The security realm of this file whose server-identity=secret has the secret instead."},
			{Name: "secret-file", Type: profiles.String, Text: "A file with the secret."},
			{Name: "fingerprint", Type: profiles.String, Text: "The fingerprint of the domain's certificate authority."},
			{Name: "join-token", Type: profiles.String, Text: "A file with the token that add-user wrote: secret and fingerprint in one."},
		},
	}
}

// ParseHostFile reads a host's file, TOML. Errors name file, line and column;
// all of a file are reported together.
func ParseHostFile(file string, data []byte) (HostFile, error) {
	d, err := hostFile()
	if err != nil {
		return HostFile{}, err
	}
	t, err := profiles.DecodeTOML(file, data, d)
	if err != nil {
		return HostFile{}, err
	}
	h := HostFile{tree: t}
	h.Name, _ = t.Attribute(nil, "name").(string)
	if h.Name == "" || strings.ContainsAny(h.Name, "/=:* ${}") {
		return HostFile{}, problem.Invalid.Errorf("cannot read %s: name %q cannot be a host's name (valid: letters, digits, dots and dashes)", file, h.Name)
	}
	for _, server := range t.Names(nil, "server") {
		if t.Has(profiles.Address{{Type: "server-config", Name: server}}) {
			return HostFile{}, problem.Invalid.Errorf("cannot read %s: server %q is there twice, as server and as server-config", file, server)
		}
	}
	h.Controller, err = controllerOf(t)
	if err != nil {
		return HostFile{}, problem.Invalid.Errorf("cannot read %s: %w", file, err)
	}
	return h, nil
}

func controllerOf(t profiles.Tree) (DomainController, error) {
	remote := profiles.Address{{Type: "domain-controller", Name: "remote"}}
	text := func(name string) string { s, _ := t.Attribute(remote, name).(string); return s }
	c := DomainController{
		Local:    t.Has(profiles.Address{{Type: "domain-controller", Name: "local"}}),
		Username: text("username"), Secret: text("secret"), SecretFile: text("secret-file"),
		Fingerprint: text("fingerprint"), JoinToken: text("join-token"),
	}
	if realm := text("security-realm"); realm != "" && c.Secret == "" && c.SecretFile == "" && c.JoinToken == "" {
		at := profiles.Address{{Type: "core-service", Name: "management"}, {Type: "security-realm", Name: realm}, joiningSecret}
		if c.Secret, _ = t.Attribute(at, "value").(string); c.Secret == "" {
			return c, problem.Invalid.Errorf("domain-controller.remote names security-realm %q, which has no server-identity.secret with a value", realm)
		}
	}
	switch v := t.Attribute(remote, "addresses").(type) {
	case string: // one expression for all of them
		c.Addresses = []string{v}
	case []any:
		for _, a := range v {
			s, _ := a.(string)
			c.Addresses = append(c.Addresses, s)
		}
	}
	switch {
	case c.Local && t.Has(remote):
		return c, problem.Invalid.Errorf("domain-controller is both local and remote; keep one of them")
	case c.Secret != "" && c.SecretFile != "":
		return c, problem.Invalid.Errorf("domain-controller.remote has both secret and secret-file; keep one of them")
	}
	return c, nil
}

// Properties are the host's system properties as the file has them.
func (h HostFile) Properties() map[string]string { return properties(h.tree, nil) }

// Resolve gives the way to the controllers with its expressions resolved: -D,
// the file's system properties, the environment, defaults.
func (h HostFile) Resolve(lookup Lookup) (DomainController, error) {
	n := names{host: lookup, levels: []level{{nil, h.Properties()}}, always: map[string]string{"jboss.host.name": h.Name}}
	c := h.Controller
	c.Addresses = nil
	for _, field := range []*string{&c.Username, &c.Secret, &c.SecretFile, &c.Fingerprint, &c.JoinToken} {
		v, err := profiles.Expand(*field, n.lookup)
		if err != nil {
			return DomainController{}, problem.Invalid.Errorf("cannot resolve domain-controller.remote: %w", err)
		}
		*field = v
	}
	for _, a := range h.Controller.Addresses {
		v, err := profiles.Expand(a, n.lookup)
		if err != nil {
			return DomainController{}, problem.Invalid.Errorf("cannot resolve domain-controller.remote: addresses: %w", err)
		}
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one != "" {
				c.Addresses = append(c.Addresses, one)
			}
		}
	}
	if c.Username == "" {
		c.Username = h.Name
	}
	return c, nil
}

// Site is the host's site as the file has it; it may be an expression.
func (h HostFile) Site() string {
	if s, ok := h.tree.Attribute(nil, "site").(string); ok {
		return s
	}
	return "default"
}

// Servers are the names of the servers that the file has, sorted.
func (h HostFile) Servers() []string {
	var out []string
	for _, s := range h.resources() {
		if len(s.Address) == 2 && s.Address[1].Type == "server-config" {
			out = append(out, s.Address[1].Name)
		}
	}
	return out
}

// Operation makes /host=<name> of a tree what the file says: one composite that
// replaces what is there. On a tree that is so already it changes nothing.
func (h HostFile) Operation(t profiles.Tree) profiles.Operation {
	at := profiles.Address{{Type: "host", Name: h.Name}}
	var steps []profiles.Operation
	if t.Has(at) {
		steps = append(steps, profiles.Operation{Name: "remove", Address: at})
	}
	return profiles.Composite(append(steps, h.resources()...)...)
}

// Operations are the steps that add /host=<name> to a tree without it; they
// travel to the controller when the host registers.
func (h HostFile) Operations() []profiles.Operation { return h.resources() }

// resources adds the host and what is below it, parents first, servers by name.
func (h HostFile) resources() []profiles.Operation {
	host := profiles.Address{{Type: "host", Name: h.Name}}
	var out []profiles.Operation
	collect := func(children bool) {
		h.tree.Walk(func(a profiles.Address, attrs map[string]any) {
			if len(a) > 0 && a.Last() == joiningSecret {
				return // it is between this host and who lets it in
			}
			if len(a) > 0 && (a[0].Type == "domain-controller" || (a[0].Type == "server" || a[0].Type == "server-config") != children) || len(a) == 0 && children {
				return
			}
			params := map[string]any{}
			for k, v := range attrs {
				if len(a) > 0 || k != "name" {
					params[k] = v
				}
			}
			at := host.Join(a)
			if len(a) > 0 && a[0].Type == "server" {
				at[1].Type = "server-config"
			}
			if !implicit(at) || len(params) > 0 {
				out = append(out, profiles.Operation{Name: "add", Address: at, Params: params})
			}
		})
	}
	collect(false) // interfaces and the like before the servers that need them
	collect(true)
	return out
}

// joiningSecret is the resource with a host's shared secret.
var joiningSecret = profiles.Element{Type: "server-identity", Name: "secret"}

// implicit reports whether an address is there without being added.
func implicit(a profiles.Address) bool { return a.Last() == management }

// Digest is a hash of the file's meaning: it changes when what the host
// registers, or its way to the controllers, does.
func (h HostFile) Digest() string {
	sum := sha256.Sum256(profiles.EncodeTOML(h.tree))
	return hex.EncodeToString(sum[:])
}
