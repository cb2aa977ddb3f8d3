package tokens

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

// The "typ" claims of tokens, Keycloak's names.
const (
	TypeBearer  = "Bearer"
	TypeID      = "ID"
	TypeRefresh = "Refresh"
	TypeOffline = "Offline"
	TypeLogout  = "Logout"
)

// refreshAlgorithm signs refresh tokens: only this realm's servers read them.
const refreshAlgorithm = "HS512"

// Options say which tokens to issue beside the access token.
type Options struct {
	Refresh   bool   // a refresh token
	Offline   bool   // that stands for the offline session
	Chain     string // of the refresh token when tokens rotate; "" begins one
	RefreshID string // "jti" of the refresh token; "" makes one
	// RefreshScope is the scope of the refresh token when the access token's is
	// narrower (RFC 6749, section 6); "" is the same.
	RefreshScope string
	NoIDToken    bool
}

// Response is the answer of the token endpoint, times in seconds.
type Response struct {
	AccessToken      string `json:"access_token"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshExpiresIn int64  `json:"refresh_expires_in"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	TokenType        string `json:"token_type"`
	IDToken          string `json:"id_token,omitempty"`
	NotBefore        int64  `json:"not-before-policy"`
	SessionState     string `json:"session_state,omitempty"`
	Scope            string `json:"scope"`
}

// Issue makes the tokens of a grant. Errors: UnknownScope, or what storage and
// keys report.
func (i *Issuer) Issue(ctx context.Context, s Subject, o Options) (*Response, error) {
	sub, g, err := i.resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	now := i.clock.Now()
	life := sessions.LifetimesOf(s.Realm, s.Client, o.Offline, s.Session != nil && s.Session.RememberMe)
	end := life.AccessTokenEnd(now, s.Session, s.ClientSession)
	access, err := i.access(ctx, sub, g, now, end)
	if err != nil {
		return nil, err
	}
	r := &Response{
		AccessToken: access, ExpiresIn: seconds(end.Sub(now)), TokenType: TypeBearer,
		NotBefore: max(s.Realm.NotBefore, s.Client.NotBefore, s.User.NotBefore), Scope: g.scope,
	}
	if !s.Transient {
		r.SessionState = s.Session.ID
	}
	if g.plan.openID && !o.NoIDToken {
		if r.IDToken, err = i.id(ctx, sub, g, access, now, end); err != nil {
			return nil, err
		}
	}
	if o.Refresh && !s.Transient {
		err = i.refresh(ctx, sub, o, life, now, r)
	}
	return r, err
}

// header makes the claims that every token begins with.
func (s *subject) header(typ string, now, end time.Time) *Claims {
	c := &Claims{names: make([]string, 0, 32), values: make([]any, 0, 32)}
	if !end.IsZero() {
		c.Set("exp", end.Unix())
	}
	c.Set("iat", now.Unix())
	if t := authTime(s.Session); t > 0 && !s.Transient && (typ == TypeBearer || typ == TypeID) {
		c.Set("auth_time", t)
	}
	c.Set("jti", uuid.NewString())
	c.Set("iss", s.Site.Realm(s.Realm.Name))
	return c
}

func (i *Issuer) access(ctx context.Context, s *subject, g *granted, now, end time.Time) (string, error) {
	kind := Access
	if s.Client.Attribute("client.use.lightweight.access.token.enabled") == "true" {
		kind = Lightweight
	}
	mapped := i.apply(s, g, kind)
	c := s.header(TypeBearer, now, end)
	takeAudience(c, mapped)
	if kind == Lightweight {
		c.Set("sub", mapped.Get("sub"))
	} else {
		c.Set("sub", subjectOf(mapped, s.User.ID))
	}
	c.Set("typ", TypeBearer)
	c.Set("azp", s.Client.ClientID)
	if !s.Transient {
		c.Set("sid", s.Session.ID)
		if kind == Access {
			c.Set("acr", s.acr)
		}
	}
	for _, name := range [...]string{"allowed-origins", "realm_access", "resource_access"} {
		c.Set(name, mapped.Get(name))
	}
	c.Set("scope", g.scope)
	c.Merge(mapped)
	return i.sign(ctx, s.Realm, typeOfAccess(s.Client), s.Client.Attribute("access.token.signed.response.alg"), c)
}

// typeOfAccess is the JOSE "typ" of access tokens: at+jwt when the client wants
// RFC 9068.
func typeOfAccess(client *model.Client) string {
	if client.Attribute("access.token.header.type.rfc9068") == "true" {
		return "at+jwt"
	}
	return "JWT"
}

func (i *Issuer) id(ctx context.Context, s *subject, g *granted, access string, now, end time.Time) (string, error) {
	mapped := i.apply(s, g, ID)
	addAudience(mapped, s.Client.ClientID)
	c := s.header(TypeID, now, end)
	takeAudience(c, mapped)
	c.Set("sub", subjectOf(mapped, s.User.ID))
	c.Set("typ", TypeID)
	c.Set("azp", s.Client.ClientID)
	c.SetText("nonce", s.Nonce)
	if !s.Transient {
		c.Set("sid", s.Session.ID)
	}
	algorithm := algorithmOf(s.Realm, s.Client.Attribute("id.token.signed.response.alg"))
	c.Set("at_hash", halfHash(algorithm, access))
	c.SetText("acr", s.acr)
	c.Merge(mapped)
	return i.sign(ctx, s.Realm, "JWT", algorithm, c)
}

func (i *Issuer) refresh(ctx context.Context, s *subject, o Options, life sessions.Lifetimes, now time.Time, r *Response) error {
	typ, end := TypeRefresh, life.RefreshTokenEnd(now, s.Session, s.ClientSession)
	if o.Offline {
		typ = TypeOffline
		if life.Max == 0 {
			end = time.Time{} // an offline token without end: its session decides
		}
	}
	c := s.header(typ, now, end)
	if o.RefreshID != "" {
		c.Set("jti", o.RefreshID)
	}
	c.Set("aud", s.Site.Realm(s.Realm.Name))
	c.Set("sub", s.User.ID)
	c.Set("typ", typ)
	c.Set("azp", s.Client.ClientID)
	c.SetText("nonce", s.Nonce)
	c.Set("sid", s.Session.ID)
	scope := o.RefreshScope
	if scope == "" {
		scope = s.Scope
	}
	c.Set("scope", scope)
	chain := o.Chain
	if chain == "" && s.Realm.RevokeRefreshToken {
		chain = uuid.NewString()
	}
	c.SetText("reuse_id", chain)
	var err error
	if r.RefreshToken, err = i.sign(ctx, s.Realm, "JWT", refreshAlgorithm, c); err == nil && !end.IsZero() {
		r.RefreshExpiresIn = seconds(end.Sub(now))
	}
	return err
}

// apply runs the mappers for one kind of claims. They see, and may change, a
// role set of their own.
func (i *Issuer) apply(s *subject, g *granted, kind Kind) *Claims {
	own := *s
	own.roles = make(roleSet, len(g.roles))
	for r := range g.roles {
		own.roles[r] = true
	}
	c := &Claims{}
	g.eachMapper(func(m mapper) {
		if m.into[kind] {
			m.apply(c, &own)
		}
	})
	return c
}

// sign signs claims with the algorithm, or the realm's when it is "".
func (i *Issuer) sign(ctx context.Context, realm *model.Realm, typ, algorithm string, c *Claims) (string, error) {
	key, err := i.keys.Signer(ctx, sessions.KeysOf(realm), algorithmOf(realm, algorithm))
	if err != nil {
		return "", err
	}
	payload, err := c.MarshalJSON()
	if err != nil {
		return "", err
	}
	return key.Sign(typ, payload)
}

// algorithmOf is the client's choice, the realm's, or RS256.
func algorithmOf(realm *model.Realm, choice string) string {
	switch {
	case choice != "":
		return choice
	case realm.DefaultSignatureAlgorithm != "":
		return realm.DefaultSignatureAlgorithm
	}
	return keys.DefaultAlgorithm
}

// takeAudience moves "aud" from the mappers' claims to its place; one audience
// is a text, several are a list (RFC 7519, section 4.1.3).
func takeAudience(c, mapped *Claims) {
	if list, ok := mapped.Get("aud").([]any); ok {
		mapped.Set("aud", nil)
		if len(list) == 1 {
			c.Set("aud", list[0])
		} else if len(list) > 1 {
			c.Set("aud", list)
		}
	}
}

func subjectOf(mapped *Claims, id string) any {
	if sub := mapped.Get("sub"); sub != nil {
		return sub
	}
	return id
}

// halfHash is at_hash and its kin: the left half of a token's hash, by the hash
// of the signature (OpenID Connect Core, section 3.1.3.6).
func halfHash(algorithm, token string) string {
	var h hash.Hash
	switch {
	case strings.HasSuffix(algorithm, "384"):
		h = sha512.New384()
	case strings.HasSuffix(algorithm, "512"), algorithm == "EdDSA":
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write([]byte(token))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func seconds(d time.Duration) int64 { return max(0, int64(d/time.Second)) }

// logoutLife is how long a logout token is good: it is used at once.
const logoutLife = 2 * time.Minute

// logoutEvent is what a logout token says has happened.
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout makes the token that tells a client of the end of a session (OpenID
// Connect Back-Channel Logout, section 2.4).
func (i *Issuer) Logout(ctx context.Context, site addresses.Site, realm *model.Realm, client *model.Client, u *model.UserSession) (string, error) {
	now := i.clock.Now()
	c, event := &Claims{}, &Claims{}
	c.Set("exp", now.Add(logoutLife).Unix())
	c.Set("iat", now.Unix())
	c.Set("jti", uuid.NewString())
	c.Set("iss", site.Realm(realm.Name))
	c.Set("aud", client.ClientID)
	c.Set("sub", u.UserID)
	c.Set("typ", TypeLogout)
	if client.Attribute("backchannel.logout.session.required") != "false" {
		c.Set("sid", u.ID)
	}
	event.Set(logoutEvent, &Claims{})
	c.Set("events", event)
	return i.sign(ctx, realm, "logout+jwt", client.Attribute("id.token.signed.response.alg"), c)
}
