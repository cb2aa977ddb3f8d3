package tokens

import (
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

func mapperOf(provider string, config ...string) model.ProtocolMapper {
	m := model.ProtocolMapper{Name: provider, Protocol: "openid-connect", ProtocolMapper: provider, Config: map[string]string{"access.token.claim": "true"}}
	for i := 0; i < len(config); i += 2 {
		m.Config[config[i]] = config[i+1]
	}
	return m
}

// mapped is what mappers make of one user.
func mappedBy(kind Kind, mappers ...model.ProtocolMapper) string {
	realm := &model.Realm{ID: "r", Name: "demo"}
	i := NewIssuer(nil, nil, clock.Real(), zerolog.Nop())
	roles := roleSet{{Name: "staff"}: true, {Client: "api.v1", Name: "read"}: true, {Client: "app", Name: "own"}: true}
	p := &plan{realm: realm, mappers: i.compileMappers(realm, mappers)}
	s := &subject{acr: "1", roles: roles, Subject: Subject{
		Site: addresses.At("https://sso", "/auth"), Realm: realm, Nonce: "n", Origins: []string{"https://app"},
		Client:  &model.Client{ClientID: "app", RedirectURIs: []string{"https://app.example/cb"}},
		Session: &model.UserSession{ID: "s", Notes: map[string]string{"clientAddress": "192.0.2.1"}},
		User: &model.User{ID: "u1", Username: "alice", Email: "a@b", EmailVerified: true, FirstName: "Al", Groups: []string{"/x/y"},
			Attributes: map[string][]string{"n": {"7", "x", "8"}, "json": {`{"a":1}`}}},
	}}
	c := i.apply(s, p.grant(roles), kind)
	b, _ := c.MarshalJSON()
	return string(b)
}

func TestProtocolMappers(t *testing.T) {
	for _, c := range []struct {
		name   string
		mapper model.ProtocolMapper
		want   string
	}{
		{"property", mapperOf("oidc-usermodel-property-mapper", "user.attribute", "emailVerified", "claim.name", "email_verified", "jsonType.label", "boolean"), `{"email_verified":true}`},
		{"absent attribute", mapperOf("oidc-usermodel-attribute-mapper", "user.attribute", "none", "claim.name", "x"), `{}`},
		{"list of numbers, the wrong one left out", mapperOf("oidc-usermodel-attribute-mapper", "user.attribute", "n", "claim.name", "a.n", "jsonType.label", "long", "multivalued", "true"), `{"a":{"n":[7,8]}}`},
		{"JSON", mapperOf("oidc-usermodel-attribute-mapper", "user.attribute", "json", "claim.name", "x", "jsonType.label", "JSON"), `{"x":{"a":1}}`},
		{"full name of one part", mapperOf("oidc-full-name-mapper"), `{"name":"Al"}`},
		{"address without parts", mapperOf("oidc-address-mapper"), `{}`},
		{"realm roles with a prefix", mapperOf("oidc-usermodel-realm-role-mapper", "claim.name", "realm_access.roles", "multivalued", "true", "usermodel.realmRoleMapping.rolePrefix", "r_"), `{"realm_access":{"roles":["r_staff"]}}`},
		{"roles of clients, dots in their names", mapperOf("oidc-usermodel-client-role-mapper", "claim.name", "resource_access.${client_id}.roles", "multivalued", "true"), `{"resource_access":{"api.v1":{"roles":["read"]},"app":{"roles":["own"]}}}`},
		{"roles of one client", mapperOf("oidc-usermodel-client-role-mapper", "claim.name", "roles", "multivalued", "true", "usermodel.clientRoleMapping.clientId", "app"), `{"roles":["own"]}`},
		{"group paths", mapperOf("oidc-group-membership-mapper", "claim.name", "groups"), `{"groups":["/x/y"]}`},
		{"group names", mapperOf("oidc-group-membership-mapper", "claim.name", "groups", "full.path", "false"), `{"groups":["y"]}`},
		{"audience", mapperOf("oidc-audience-mapper", "included.custom.audience", "https://api"), `{"aud":["https://api"]}`},
		{"audiences of roles", mapperOf("oidc-audience-resolve-mapper"), `{"aud":["api.v1"]}`},
		{"hardcoded", mapperOf("oidc-hardcoded-claim-mapper", "claim.name", "a\\.b", "claim.value", "5", "jsonType.label", "int"), `{"a.b":5}`},
		{"session note", mapperOf("oidc-usersessionmodel-note-mapper", "user.session.note", "clientAddress", "claim.name", "clientAddress"), `{"clientAddress":"192.0.2.1"}`},
		{"origins", mapperOf("oidc-allowed-origins-mapper"), `{"allowed-origins":["https://app"]}`},
		{"acr", mapperOf("oidc-acr-mapper"), `{"acr":"1"}`},
		{"nonce", mapperOf("oidc-nonce-backwards-compatible-mapper"), `{"nonce":"n"}`},
		{"unknown", mapperOf("oidc-something-of-mine", "claim.name", "x"), `{}`},
		{"without a claim", mapperOf("oidc-usermodel-attribute-mapper", "user.attribute", "n"), `{}`},
		{"a reserved claim", mapperOf("oidc-hardcoded-claim-mapper", "claim.name", "exp", "claim.value", "9"), `{}`},
		{"an issuer of its own", mapperOf("oidc-hardcoded-claim-mapper", "claim.name", "iss", "claim.value", "https://evil"), `{}`},
	} {
		if got := mappedBy(Access, c.mapper); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestMappersThatChangeRolesRunFirst(t *testing.T) {
	show := mapperOf("oidc-usermodel-realm-role-mapper", "claim.name", "roles", "multivalued", "true")
	got := mappedBy(Access, show, mapperOf("oidc-hardcoded-role-mapper", "role", "extra"), mapperOf("oidc-role-name-mapper", "role", "staff", "new.role.name", "team"))
	if got != `{"roles":["extra","team"]}` {
		t.Error(got)
	}
}

func TestMappersWorkWhereTheySay(t *testing.T) {
	m := func(config ...string) model.ProtocolMapper {
		p := model.ProtocolMapper{ProtocolMapper: "oidc-hardcoded-claim-mapper", Config: map[string]string{"claim.name": "x", "claim.value": "1"}}
		for i := 0; i < len(config); i += 2 {
			p.Config[config[i]] = config[i+1]
		}
		return p
	}
	for _, c := range []struct {
		mapper model.ProtocolMapper
		in     []Kind
	}{
		{m(), nil},
		{m("id.token.claim", "true"), []Kind{ID, UserInfo}}, // before Keycloak had a setting for UserInfo
		{m("id.token.claim", "true", "userinfo.token.claim", "false"), []Kind{ID}},
		{m("access.token.claim", "true"), []Kind{Access, Introspection}}, // as above
		{m("access.token.claim", "true", "introspection.token.claim", "false"), []Kind{Access}},
		{m("lightweight.claim", "true"), []Kind{Lightweight}},
	} {
		want := map[Kind]bool{}
		for _, k := range c.in {
			want[k] = true
		}
		for k := range kinds {
			if got := mappedBy(k, c.mapper) != `{}`; got != want[k] {
				t.Errorf("%v in %d: %v", c.mapper.Config, k, got)
			}
		}
	}
}

func TestPairwiseSubjectsDifferBySector_OIDCCore8_1(t *testing.T) {
	a := mappedBy(Access, mapperOf("oidc-sha256-pairwise-sub-mapper", "sectorIdentifierUri", "https://a.example/x", "pairwiseSubAlgorithmSalt", "salt"))
	b := mappedBy(Access, mapperOf("oidc-sha256-pairwise-sub-mapper", "sectorIdentifierUri", "https://b.example/x", "pairwiseSubAlgorithmSalt", "salt"))
	if a == b || a == `{}` || a != mappedBy(Access, mapperOf("oidc-sha256-pairwise-sub-mapper", "sectorIdentifierUri", "https://a.example/y", "pairwiseSubAlgorithmSalt", "salt")) {
		t.Errorf("%s, %s", a, b)
	}
}
