package tokens

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

// Token is a token of ours that came back, its signature checked.
type Token struct {
	Expires  int64     `json:"exp"` // 0: without end
	Issued   int64     `json:"iat"`
	AuthTime int64     `json:"auth_time"`
	ID       string    `json:"jti"`
	Issuer   string    `json:"iss"`
	Audience Audiences `json:"aud"`
	Subject  string    `json:"sub"`
	Type     string    `json:"typ"`
	Party    string    `json:"azp"` // clientId that it was issued to
	Session  string    `json:"sid"` // "" of a token without a session
	Scope    string    `json:"scope"`
	Nonce    string    `json:"nonce"`
	Chain    string    `json:"reuse_id"`

	Claims json.RawMessage `json:"-"` // all of it
}

// Audiences is "aud": a text or a list (RFC 7519, section 4.1.3).
type Audiences []string

// UnmarshalJSON reads a text as a list of one.
func (a *Audiences) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = Audiences{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Has reports whether an audience is named.
func (a Audiences) Has(audience string) bool { return slices.Contains(a, audience) }

// Parse checks a token's signature and issuer, whatever its type and age.
// Errors are problem.Unauthorized.
func (i *Issuer) Parse(ctx context.Context, site addresses.Site, realm *model.Realm, compact string) (*Token, error) {
	set, err := i.keys.Of(ctx, sessions.KeysOf(realm))
	if err != nil {
		return nil, err
	}
	payload, key, err := set.Verify(compact)
	if err != nil {
		return nil, err
	}
	t := &Token{Claims: payload}
	if err := json.Unmarshal(payload, t); err != nil {
		return nil, problem.Unauthorized.Errorf("cannot verify a token: its claims are malformed")
	}
	if t.Issuer != site.Realm(realm.Name) {
		return nil, problem.Unauthorized.Errorf("cannot verify a token: its issuer is %q, not %q", t.Issuer, site.Realm(realm.Name))
	}
	if (t.Type == TypeRefresh || t.Type == TypeOffline) && !key.Symmetric() {
		return nil, problem.Unauthorized.Errorf("cannot verify a token: %s tokens are not signed with %s", t.Type, key.Algorithm)
	}
	return t, nil
}

// Verify is Parse for a token that must be of one of the types, not expired and
// not from before the realm's "not before".
func (i *Issuer) Verify(ctx context.Context, site addresses.Site, realm *model.Realm, compact string, types ...string) (*Token, error) {
	t, err := i.Parse(ctx, site, realm, compact)
	if err != nil {
		return nil, err
	}
	switch now := i.clock.Now().Unix(); {
	case !slices.Contains(types, t.Type):
		return nil, problem.Unauthorized.Errorf("cannot use the token: its type is %q, not %q", t.Type, types)
	case t.Expires != 0 && t.Expires <= now:
		return nil, problem.Unauthorized.Errorf("cannot use the token: it has expired")
	case t.Issued < realm.NotBefore:
		return nil, problem.Unauthorized.Errorf("cannot use the token: it is from before the realm's not-before time")
	}
	return t, nil
}

// Claims are what the mappers of one kind say about a subject, and the scope
// that it is granted: for the UserInfo and introspection endpoints.
func (i *Issuer) Claims(ctx context.Context, s Subject, kind Kind) (*Claims, string, error) {
	sub, g, err := i.resolve(ctx, s)
	if err != nil {
		return nil, "", err
	}
	mapped := i.apply(sub, g, kind)
	c := &Claims{}
	c.Set("sub", subjectOf(mapped, s.User.ID))
	takeAudience(c, mapped)
	c.Merge(mapped)
	return c, g.scope, nil
}

// SignUserInfo makes a JWT of UserInfo claims (OpenID Connect Core, section
// 5.3.2).
func (i *Issuer) SignUserInfo(ctx context.Context, site addresses.Site, realm *model.Realm, client *model.Client, algorithm string, c *Claims) (string, error) {
	c.Set("iss", site.Realm(realm.Name))
	c.Set("aud", client.ClientID)
	return i.sign(ctx, realm, "JWT", algorithm, c)
}
