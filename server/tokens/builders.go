package tokens

import (
	"crypto/md5" //nolint:gosec // version 3 UUIDs are defined with MD5
	"crypto/sha256"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// builder compiles the configuration of one kind of mapper.
type builder func(settings) mapper

// builders gives the builder of a mapper's provider id.
func builders(provider string) (builder, bool) {
	b, ok := map[string]builder{
		"oidc-usermodel-property-mapper":         userAttribute,
		"oidc-usermodel-attribute-mapper":        userAttribute,
		"oidc-full-name-mapper":                  fullName,
		"oidc-address-mapper":                    address,
		"oidc-usermodel-realm-role-mapper":       realmRoles,
		"oidc-usermodel-client-role-mapper":      clientRoles,
		"oidc-group-membership-mapper":           groupMembership,
		"oidc-audience-mapper":                   audience,
		"oidc-audience-resolve-mapper":           audienceResolve,
		"oidc-hardcoded-claim-mapper":            hardcodedClaim,
		"oidc-hardcoded-role-mapper":             hardcodedRole,
		"oidc-role-name-mapper":                  roleName,
		"oidc-sub-mapper":                        subjectID,
		"oidc-acr-mapper":                        authenticationClass,
		"oidc-allowed-origins-mapper":            allowedOrigins,
		"oidc-usersessionmodel-note-mapper":      sessionNote,
		"oidc-sha256-pairwise-sub-mapper":        pairwise,
		"oidc-session-state-mapper":              sessionState,
		"oidc-nonce-backwards-compatible-mapper": nonce,
	}[provider]
	return b, ok
}

func userAttribute(s settings) mapper {
	set, name, label := claim(s), s["user.attribute"], s["jsonType.label"]
	if set == nil || name == "" {
		return mapper{}
	}
	multi, aggregate := s.on("multivalued"), s.on("aggregate.attrs")
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		values := sub.attribute(name, aggregate)
		switch {
		case len(values) == 0:
		case multi:
			set(c, sub.Client.ClientID, typedList(values, label))
		default:
			set(c, sub.Client.ClientID, typed(values[0], label))
		}
	}}
}

func fullName(settings) mapper {
	return mapper{when: during, apply: func(c *Claims, s *subject) {
		c.SetText("name", strings.TrimSpace(s.User.FirstName+" "+s.User.LastName))
	}}
}

func address(s settings) mapper {
	parts := [...][2]string{{"street_address", "street"}, {"locality", "locality"}, {"region", "region"},
		{"postal_code", "postal_code"}, {"country", "country"}, {"formatted", "formatted"}}
	for i, p := range parts {
		if from := s["user.attribute."+p[1]]; from != "" {
			parts[i][1] = from
		}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		a := &Claims{}
		for _, p := range parts {
			a.SetText(p[0], sub.User.Attribute(p[1]))
		}
		if len(a.names) > 0 {
			c.Set("address", a)
		}
	}}
}

func prefixed(names []string, prefix string) []string {
	if prefix == "" {
		return names
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}

// roleClaim sets a claim to role names: a list, or one text when the mapper is
// not multivalued.
func roleClaim(s settings, set func(*Claims, string, any), c *Claims, client string, names []string) {
	label := s["jsonType.label"]
	if multi, said := s["multivalued"]; said && !strings.EqualFold(multi, "true") {
		set(c, client, typed("["+strings.Join(names, ", ")+"]", label))
		return
	}
	set(c, client, typedList(names, label))
}

func realmRoles(s settings) mapper {
	set, prefix := claim(s), s["usermodel.realmRoleMapping.rolePrefix"]
	if set == nil {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		if names := sub.roles.names(""); len(names) > 0 {
			roleClaim(s, set, c, "", prefixed(names, prefix))
		}
	}}
}

func clientRoles(s settings) mapper {
	set, prefix, only := claim(s), s["usermodel.clientRoleMapping.rolePrefix"], s["usermodel.clientRoleMapping.clientId"]
	if set == nil {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		for _, client := range sub.roles.clients() {
			if only == "" || only == client {
				roleClaim(s, set, c, client, prefixed(sub.roles.names(client), prefix))
			}
		}
	}}
}

func groupMembership(s settings) mapper {
	set, full := claim(s), !strings.EqualFold(s["full.path"], "false")
	if set == nil {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		names := make([]any, 0, len(sub.User.Groups))
		for _, path := range sub.User.Groups {
			if !full {
				path = path[strings.LastIndex(path, "/")+1:]
			}
			names = append(names, path)
		}
		set(c, sub.Client.ClientID, names)
	}}
}

func audience(s settings) mapper {
	add := s["included.client.audience"]
	if add == "" {
		add = s["included.custom.audience"]
	}
	if add == "" {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, _ *subject) { addAudience(c, add) }}
}

// audienceResolve adds the clients whose roles the token carries: they will be
// asked to honour them.
func audienceResolve(settings) mapper {
	return mapper{when: after, silent: true, apply: func(c *Claims, sub *subject) {
		for _, client := range sub.roles.clients() {
			if client != sub.Client.ClientID {
				addAudience(c, client)
			}
		}
	}}
}

func hardcodedClaim(s settings) mapper {
	set, value := claim(s), typed(s["claim.value"], s["jsonType.label"])
	if set == nil || value == nil {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) { set(c, sub.Client.ClientID, value) }}
}

// parseRole reads "client.role" or "role" as mappers write them: the client is
// what stands before the first dot.
func parseRole(s string) model.RoleName {
	if client, name, ok := strings.Cut(s, "."); ok {
		return model.RoleName{Client: client, Name: name}
	}
	return model.RoleName{Name: s}
}

func hardcodedRole(s settings) mapper {
	r := parseRole(s["role"])
	if r.Name == "" {
		return mapper{}
	}
	return mapper{when: before, silent: true, apply: func(_ *Claims, sub *subject) { sub.roles[r] = true }}
}

func roleName(s settings) mapper {
	from, to := parseRole(s["role"]), parseRole(s["new.role.name"])
	if from.Name == "" || to.Name == "" {
		return mapper{}
	}
	return mapper{when: before, silent: true, apply: func(_ *Claims, sub *subject) {
		if sub.roles[from] {
			delete(sub.roles, from)
			sub.roles[to] = true
		}
	}}
}

func subjectID(settings) mapper {
	return mapper{when: during, apply: func(c *Claims, s *subject) {
		if c.Get("sub") == nil {
			c.Set("sub", s.User.ID)
		}
	}}
}

func authenticationClass(settings) mapper {
	return mapper{when: during, apply: func(c *Claims, s *subject) { c.SetText("acr", s.acr) }}
}

func allowedOrigins(settings) mapper {
	return mapper{when: during, silent: true, apply: func(c *Claims, s *subject) {
		if origins := s.Origins; len(origins) > 0 {
			c.Set("allowed-origins", origins)
		}
	}}
}

func sessionNote(s settings) mapper {
	set, note, label := claim(s), s["user.session.note"], s["jsonType.label"]
	if set == nil || note == "" {
		return mapper{}
	}
	return mapper{when: during, apply: func(c *Claims, sub *subject) {
		if sub.Session != nil && sub.Session.Notes[note] != "" {
			set(c, sub.Client.ClientID, typed(sub.Session.Notes[note], label))
		}
	}}
}

// pairwise gives each sector an identifier of its own for a user (OpenID
// Connect Core, section 8.1), derived as Keycloak does.
func pairwise(s settings) mapper {
	sector, salt := s["sectorIdentifierUri"], s["pairwiseSubAlgorithmSalt"]
	return mapper{when: before, silent: true, apply: func(c *Claims, sub *subject) {
		host := hostOf(sector)
		if host == "" {
			host = hostOf(sub.redirect())
		}
		sum := sha256.New()
		for _, part := range []string{host, sub.User.ID, salt} {
			sum.Write([]byte(part))
		}
		c.Set("sub", nameUUID(sum.Sum(nil)).String())
	}}
}

// nameUUID is a name-based UUID (RFC 9562, version 3) of bytes without a name
// space, as Java makes them.
func nameUUID(name []byte) uuid.UUID {
	id := uuid.UUID(md5.Sum(name))
	id[6] = id[6]&0x0f | 0x30
	id[8] = id[8]&0x3f | 0x80
	return id
}

// hostOf is the host of an address, "" if it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func sessionState(settings) mapper {
	return mapper{when: during, apply: func(c *Claims, s *subject) {
		if s.Session != nil && !s.Transient {
			c.Set("session_state", s.Session.ID)
		}
	}}
}

func nonce(settings) mapper {
	return mapper{when: during, apply: func(c *Claims, s *subject) { c.SetText("nonce", s.Nonce) }}
}

// attribute are the values of a user's attribute; properties of the user count
// as attributes. With aggregate the groups' values come too.
func (s *subject) attribute(name string, aggregate bool) []string {
	var values []string
	one := func(v string) {
		if v != "" {
			values = []string{v}
		}
	}
	switch name {
	case "username":
		one(s.User.Username)
	case "email":
		one(s.User.Email)
	case "firstName":
		one(s.User.FirstName)
	case "lastName":
		one(s.User.LastName)
	case "id":
		one(s.User.ID)
	case "emailVerified":
		one(strconv.FormatBool(s.User.EmailVerified))
	case "enabled":
		one(strconv.FormatBool(s.User.Enabled))
	case "createdTimestamp":
		one(strconv.FormatInt(s.User.CreatedTimestamp, 10))
	default:
		values = s.User.Attributes[name]
	}
	if len(values) > 0 && !aggregate {
		return values
	}
	for _, g := range s.groups {
		if len(values) > 0 && !aggregate {
			break
		}
		values = append(values[:len(values):len(values)], g.Attributes[name]...)
	}
	return values
}
