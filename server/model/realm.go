package model

// Realm is a space of users, clients and settings of its own. Clients, roles,
// groups, client scopes, flows, components and users are stored by themselves;
// identity providers, required actions and authenticator configs live here.
// Pointers are settings whose default is not the zero value: read them through
// Lifespans, BruteForce and the Is methods.
type Realm struct {
	Document
	ID              string `json:"id"`
	Name            string `json:"realm"`
	DisplayName     string `json:"displayName"`
	DisplayNameHTML string `json:"displayNameHtml"`
	Enabled         bool   `json:"enabled"`
	SSLRequired     string `json:"sslRequired"` // all, external (default) or none
	NotBefore       int64  `json:"notBefore"`   // seconds since 1970; tokens issued before are refused

	RegistrationAllowed         bool   `json:"registrationAllowed"`
	RegistrationEmailAsUsername bool   `json:"registrationEmailAsUsername"`
	RememberMe                  bool   `json:"rememberMe"`
	VerifyEmail                 bool   `json:"verifyEmail"`
	LoginWithEmailAllowed       *bool  `json:"loginWithEmailAllowed"`
	DuplicateEmailsAllowed      bool   `json:"duplicateEmailsAllowed"`
	ResetPasswordAllowed        bool   `json:"resetPasswordAllowed"`
	EditUsernameAllowed         bool   `json:"editUsernameAllowed"`
	UserManagedAccessAllowed    bool   `json:"userManagedAccessAllowed"`
	OrganizationsEnabled        bool   `json:"organizationsEnabled"`
	PasswordPolicy              string `json:"passwordPolicy"`

	DefaultSignatureAlgorithm string `json:"defaultSignatureAlgorithm"` // "" is RS256
	RevokeRefreshToken        bool   `json:"revokeRefreshToken"`
	RefreshTokenMaxReuse      int    `json:"refreshTokenMaxReuse"`

	// Lifespans in seconds; absent or 0 means Keycloak's default, see Lifespans.
	AccessTokenLifespan                 int  `json:"accessTokenLifespan"`
	AccessTokenLifespanForImplicitFlow  int  `json:"accessTokenLifespanForImplicitFlow"`
	SSOSessionIdleTimeout               int  `json:"ssoSessionIdleTimeout"`
	SSOSessionMaxLifespan               int  `json:"ssoSessionMaxLifespan"`
	SSOSessionIdleTimeoutRememberMe     int  `json:"ssoSessionIdleTimeoutRememberMe"`
	SSOSessionMaxLifespanRememberMe     int  `json:"ssoSessionMaxLifespanRememberMe"`
	OfflineSessionIdleTimeout           int  `json:"offlineSessionIdleTimeout"`
	OfflineSessionMaxLifespanEnabled    bool `json:"offlineSessionMaxLifespanEnabled"`
	OfflineSessionMaxLifespan           int  `json:"offlineSessionMaxLifespan"`
	ClientSessionIdleTimeout            int  `json:"clientSessionIdleTimeout"`
	ClientSessionMaxLifespan            int  `json:"clientSessionMaxLifespan"`
	ClientOfflineSessionIdleTimeout     int  `json:"clientOfflineSessionIdleTimeout"`
	ClientOfflineSessionMaxLifespan     int  `json:"clientOfflineSessionMaxLifespan"`
	AccessCodeLifespan                  int  `json:"accessCodeLifespan"`
	AccessCodeLifespanUserAction        int  `json:"accessCodeLifespanUserAction"`
	AccessCodeLifespanLogin             int  `json:"accessCodeLifespanLogin"`
	ActionTokenGeneratedByAdminLifespan int  `json:"actionTokenGeneratedByAdminLifespan"`
	ActionTokenGeneratedByUserLifespan  int  `json:"actionTokenGeneratedByUserLifespan"`
	OAuth2DeviceCodeLifespan            int  `json:"oauth2DeviceCodeLifespan"`
	OAuth2DevicePollingInterval         int  `json:"oauth2DevicePollingInterval"`

	BruteForceProtected          bool   `json:"bruteForceProtected"`
	PermanentLockout             bool   `json:"permanentLockout"`
	MaxTemporaryLockouts         int    `json:"maxTemporaryLockouts"`
	BruteForceStrategy           string `json:"bruteForceStrategy"`
	MaxFailureWaitSeconds        *int   `json:"maxFailureWaitSeconds"`
	MinimumQuickLoginWaitSeconds *int   `json:"minimumQuickLoginWaitSeconds"`
	WaitIncrementSeconds         *int   `json:"waitIncrementSeconds"`
	QuickLoginCheckMilliSeconds  *int   `json:"quickLoginCheckMilliSeconds"`
	MaxDeltaTimeSeconds          *int   `json:"maxDeltaTimeSeconds"`
	FailureFactor                *int   `json:"failureFactor"`

	OTPPolicyType            string `json:"otpPolicyType"`
	OTPPolicyAlgorithm       string `json:"otpPolicyAlgorithm"`
	OTPPolicyInitialCounter  int    `json:"otpPolicyInitialCounter"`
	OTPPolicyDigits          int    `json:"otpPolicyDigits"`
	OTPPolicyLookAheadWindow *int   `json:"otpPolicyLookAheadWindow"`
	OTPPolicyPeriod          int    `json:"otpPolicyPeriod"`
	OTPPolicyCodeReusable    bool   `json:"otpPolicyCodeReusable"`

	LoginTheme                  string                       `json:"loginTheme"`
	AccountTheme                string                       `json:"accountTheme"`
	AdminTheme                  string                       `json:"adminTheme"`
	EmailTheme                  string                       `json:"emailTheme"`
	InternationalizationEnabled bool                         `json:"internationalizationEnabled"`
	SupportedLocales            []string                     `json:"supportedLocales"`
	DefaultLocale               string                       `json:"defaultLocale"`
	LocalizationTexts           map[string]map[string]string `json:"localizationTexts"`
	BrowserSecurityHeaders      map[string]string            `json:"browserSecurityHeaders"`
	SMTPServer                  map[string]string            `json:"smtpServer"`

	EventsEnabled             bool     `json:"eventsEnabled"`
	EventsExpiration          int64    `json:"eventsExpiration"`
	EventsListeners           []string `json:"eventsListeners"`
	EnabledEventTypes         []string `json:"enabledEventTypes"`
	AdminEventsEnabled        bool     `json:"adminEventsEnabled"`
	AdminEventsDetailsEnabled bool     `json:"adminEventsDetailsEnabled"`

	// Flow aliases.
	BrowserFlow              string `json:"browserFlow"`
	RegistrationFlow         string `json:"registrationFlow"`
	DirectGrantFlow          string `json:"directGrantFlow"`
	ResetCredentialsFlow     string `json:"resetCredentialsFlow"`
	ClientAuthenticationFlow string `json:"clientAuthenticationFlow"`
	DockerAuthenticationFlow string `json:"dockerAuthenticationFlow"`
	FirstBrokerLoginFlow     string `json:"firstBrokerLoginFlow"`

	DefaultRole                 *Role                     `json:"defaultRole"`
	DefaultRoles                []string                  `json:"defaultRoles"`  // before Keycloak 13
	DefaultGroups               []string                  `json:"defaultGroups"` // paths
	DefaultDefaultClientScopes  []string                  `json:"defaultDefaultClientScopes"`
	DefaultOptionalClientScopes []string                  `json:"defaultOptionalClientScopes"`
	ScopeMappings               []ScopeMapping            `json:"scopeMappings"`
	ClientScopeMappings         map[string][]ScopeMapping `json:"clientScopeMappings"`      // by the client that owns the roles
	ApplicationScopeMappings    map[string][]ScopeMapping `json:"applicationScopeMappings"` // the same, before Keycloak 1.3
	RequiredCredentials         []string                  `json:"requiredCredentials"`

	IdentityProviders       []IdentityProvider       `json:"identityProviders"`
	IdentityProviderMappers []IdentityProviderMapper `json:"identityProviderMappers"`
	RequiredActions         []RequiredAction         `json:"requiredActions"`
	AuthenticatorConfig     []AuthenticatorConfig    `json:"authenticatorConfig"`
	Attributes              map[string]string        `json:"attributes"`
	KeycloakVersion         string                   `json:"keycloakVersion"`
}

// Ident is the realm's id and name.
func (r *Realm) Ident() (id, name string) { return r.ID, r.Name }

// SetID gives the realm its id.
func (r *Realm) SetID(id string) { r.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (r *Realm) UnmarshalJSON(data []byte) error {
	type plain Realm
	fresh := plain{}
	fresh.Meta = r.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*r = Realm(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (r Realm) MarshalJSON() ([]byte, error) {
	type plain Realm
	return encode(plain(r), &r.Document)
}
