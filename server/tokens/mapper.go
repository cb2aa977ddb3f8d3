package tokens

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Kind is what claims are made for. Mappers say for which they work.
type Kind int

// The kinds of claim sets.
const (
	Access        Kind = iota // access token
	Lightweight               // access token of a client that wants it small
	ID                        // ID token
	UserInfo                  // answer of the UserInfo endpoint
	Introspection             // answer of the introspection endpoint
	kinds
)

// phase is when a mapper runs among the others.
type phase int

const (
	before phase = iota // gives or renames roles
	during
	after // reads the roles that are there
)

// mapper is a compiled protocol mapper: the configuration is read once, the
// work for a user is in apply.
type mapper struct {
	when  phase
	into  [kinds]bool
	apply func(c *Claims, s *subject)
	// silent mappers work everywhere unless their configuration says otherwise:
	// those that Keycloak ships without settings.
	silent bool
}

// compileMappers compiles those mappers that this server acts on; of each other
// kind one line in the log says that it is kept and does nothing.
func (i *Issuer) compileMappers(realm *model.Realm, mappers []model.ProtocolMapper) []mapper {
	var out []mapper
	for n := range mappers {
		m := &mappers[n]
		if m.Protocol != "" && m.Protocol != "openid-connect" {
			continue
		}
		build, ok := builders(m.ProtocolMapper)
		if !ok {
			i.reportUnknown(realm, m.ProtocolMapper)
			continue
		}
		compiled := build(settings(m.Config))
		if compiled.apply == nil {
			continue // its configuration names nothing
		}
		compiled.into = destinations(settings(m.Config))
		if compiled.silent && compiled.into == [kinds]bool{} {
			compiled.into = [kinds]bool{true, true, true, true, true}
		}
		out = append(out, compiled)
	}
	return out
}

// reportUnknown logs once per realm and kind of mapper.
func (i *Issuer) reportUnknown(realm *model.Realm, provider string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := realm.ID + " " + provider
	if !i.reported[key] {
		i.reported[key] = true
		i.log.Warn().Str("realm", realm.Name).Str("mapper", provider).Msg("protocol mapper kept but not acted on: this server does not know its kind")
	}
}

// settings is a mapper's configuration.
type settings map[string]string

func (s settings) on(name string) bool { return strings.EqualFold(s[name], "true") }

// destinations says for which claim sets a mapper works. Settings that came
// with later versions of Keycloak follow older ones where they are missing.
func destinations(s settings) (into [kinds]bool) {
	or := func(name string, otherwise bool) bool {
		if _, ok := s[name]; ok {
			return s.on(name)
		}
		return otherwise
	}
	into[Access] = s.on("access.token.claim")
	into[Lightweight] = s.on("lightweight.claim")
	into[ID] = s.on("id.token.claim")
	into[UserInfo] = or("userinfo.token.claim", into[ID])
	into[Introspection] = or("introspection.token.claim", into[Access])
	return into
}

// reserved are claims that no mapper may set: they say what the token is.
var reserved = [...]string{"exp", "nbf", "iat", "auth_time", "jti", "iss", "typ", "sid", "session_state", "nonce", "at_hash", "c_hash", "s_hash", "scope", "cnf"}

// claim makes a setter for the claim that a mapper names; nil when it names
// none or a reserved one.
func claim(s settings) func(c *Claims, client string, value any) {
	name := s["claim.name"]
	if name == "" {
		return nil
	}
	path := splitPath(name)
	for _, r := range reserved {
		if path[0] == r {
			return nil
		}
	}
	perClient := strings.Contains(name, "${client_id}")
	return func(c *Claims, client string, value any) {
		if value == nil {
			return
		}
		p := path
		if perClient {
			p = make([]string, len(path))
			for i, part := range path {
				p[i] = strings.ReplaceAll(part, "${client_id}", client)
			}
		}
		c.SetPath(p, value)
	}
}

// addAudience adds clientIds or addresses to "aud".
func addAudience(c *Claims, audience ...string) {
	there, _ := c.Get("aud").([]any)
	for _, a := range audience {
		if a != "" {
			there = union(there, []any{a})
		}
	}
	if len(there) > 0 {
		c.Set("aud", there)
	}
}
