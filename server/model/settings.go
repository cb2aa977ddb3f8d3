package model

import "time"

// IsEnabled reports whether the client may be used.
func (c *Client) IsEnabled() bool { return c.Enabled == nil || *c.Enabled }

// StandardFlow reports whether the client may use the authorization code flow.
func (c *Client) StandardFlow() bool {
	return !c.BearerOnly && (c.StandardFlowEnabled == nil || *c.StandardFlowEnabled)
}

// FullScope reports whether tokens may carry all roles of the user. A client
// that does not say has it unless it asks for consent.
func (c *Client) FullScope() bool {
	if c.FullScopeAllowed == nil {
		return !c.ConsentRequired
	}
	return *c.FullScopeAllowed
}

// IsOpenIDConnect reports whether the client speaks OpenID Connect.
func (c *Client) IsOpenIDConnect() bool { return c.Protocol == "" || c.Protocol == "openid-connect" }

// Confidential reports whether the client has to prove who it is.
func (c *Client) Confidential() bool { return !c.PublicClient && !c.BearerOnly }

// Mask stands in exports for a secret that was not written.
const Mask = "**********"

// UsableSecret is the client's secret, or "" if it has none or only an export's
// Mask for it: everybody knows that one. "" must never authenticate.
func (c *Client) UsableSecret() string {
	if c.Secret == Mask {
		return ""
	}
	return c.Secret
}

// Attribute is the attribute called name, "" when there is none.
func (c *Client) Attribute(name string) string { return c.Attributes[name] }

// Attribute is the attribute called name, "" when there is none.
func (r *Realm) Attribute(name string) string { return r.Attributes[name] }

// Attribute is the first value of the attribute called name, or "".
func (u *User) Attribute(name string) string {
	if v := u.Attributes[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// IsServiceAccount reports whether the user stands for a client.
func (u *User) IsServiceAccount() bool { return u.ServiceAccountClientID != "" }

// LoginWithEmail reports whether users may log in with their address.
func (r *Realm) LoginWithEmail() bool {
	return r.LoginWithEmailAllowed == nil || *r.LoginWithEmailAllowed
}

// Lifespans are a realm's lifespans with Keycloak's defaults for those that it
// does not set.
type Lifespans struct {
	AccessToken         time.Duration
	AccessTokenImplicit time.Duration

	SSOIdle           time.Duration
	SSOMax            time.Duration
	SSOIdleRememberMe time.Duration // SSOIdle unless set
	SSOMaxRememberMe  time.Duration // SSOMax unless set
	OfflineIdle       time.Duration
	OfflineMax        time.Duration // 0: without end
	ClientIdle        time.Duration // 0: as the SSO session
	ClientMax         time.Duration // 0: as the SSO session
	ClientOfflineIdle time.Duration // 0: as the offline session
	ClientOfflineMax  time.Duration // 0: as the offline session

	Code       time.Duration // authorization code
	UserAction time.Duration // one step of a login
	Login      time.Duration // a whole login

	ActionTokenByAdmin time.Duration
	ActionTokenByUser  time.Duration
	DeviceCode         time.Duration
	DevicePolling      time.Duration
}

// Lifespans gives the realm's lifespans.
func (r *Realm) Lifespans() Lifespans {
	or := func(seconds, otherwise int) time.Duration {
		if seconds <= 0 {
			seconds = otherwise
		}
		return time.Duration(seconds) * time.Second
	}
	l := Lifespans{
		AccessToken:         or(r.AccessTokenLifespan, 300),
		AccessTokenImplicit: or(r.AccessTokenLifespanForImplicitFlow, 900),
		SSOIdle:             or(r.SSOSessionIdleTimeout, 1800),
		SSOMax:              or(r.SSOSessionMaxLifespan, 36000),
		OfflineIdle:         or(r.OfflineSessionIdleTimeout, 2592000),
		ClientIdle:          or(r.ClientSessionIdleTimeout, 0),
		ClientMax:           or(r.ClientSessionMaxLifespan, 0),
		ClientOfflineIdle:   or(r.ClientOfflineSessionIdleTimeout, 0),
		ClientOfflineMax:    or(r.ClientOfflineSessionMaxLifespan, 0),
		Code:                or(r.AccessCodeLifespan, 60),
		UserAction:          or(r.AccessCodeLifespanUserAction, 300),
		Login:               or(r.AccessCodeLifespanLogin, 1800),
		ActionTokenByAdmin:  or(r.ActionTokenGeneratedByAdminLifespan, 43200),
		ActionTokenByUser:   or(r.ActionTokenGeneratedByUserLifespan, 300),
		DeviceCode:          or(r.OAuth2DeviceCodeLifespan, 600),
		DevicePolling:       or(r.OAuth2DevicePollingInterval, 5),
	}
	l.SSOIdleRememberMe = or(r.SSOSessionIdleTimeoutRememberMe, int(l.SSOIdle/time.Second))
	l.SSOMaxRememberMe = or(r.SSOSessionMaxLifespanRememberMe, int(l.SSOMax/time.Second))
	if r.OfflineSessionMaxLifespanEnabled {
		l.OfflineMax = or(r.OfflineSessionMaxLifespan, 5184000)
	}
	return l
}

// BruteForce is how a realm answers repeated failed logins.
type BruteForce struct {
	Enabled              bool
	FailureFactor        int
	WaitIncrement        time.Duration
	MaxWait              time.Duration
	QuickLoginCheck      time.Duration
	MinimumQuickWait     time.Duration
	MaxDelta             time.Duration // failures older than this are forgotten
	PermanentLockout     bool
	MaxTemporaryLockouts int
	Linear               bool // strategy LINEAR; else MULTIPLE
}

// BruteForce gives the realm's settings with Keycloak's defaults.
func (r *Realm) BruteForce() BruteForce {
	or := func(v *int, otherwise int) int {
		if v == nil {
			return otherwise
		}
		return *v
	}
	seconds := func(v *int, otherwise int) time.Duration { return time.Duration(or(v, otherwise)) * time.Second }
	return BruteForce{
		Enabled:              r.BruteForceProtected,
		FailureFactor:        or(r.FailureFactor, 30),
		WaitIncrement:        seconds(r.WaitIncrementSeconds, 60),
		MaxWait:              seconds(r.MaxFailureWaitSeconds, 900),
		QuickLoginCheck:      time.Duration(or(r.QuickLoginCheckMilliSeconds, 1000)) * time.Millisecond,
		MinimumQuickWait:     seconds(r.MinimumQuickLoginWaitSeconds, 60),
		MaxDelta:             seconds(r.MaxDeltaTimeSeconds, 43200),
		PermanentLockout:     r.PermanentLockout,
		MaxTemporaryLockouts: r.MaxTemporaryLockouts,
		Linear:               r.BruteForceStrategy == "LINEAR",
	}
}
