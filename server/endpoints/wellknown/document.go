package wellknown

import "github.com/gatehouse-idp/gatehouse/server/tokens/oauth"

// document is the discovery document: only what this server does.
type document struct {
	Issuer                string `json:"issuer"`
	Authorization         string `json:"authorization_endpoint"`
	Token                 string `json:"token_endpoint"`
	Introspection         string `json:"introspection_endpoint"`
	UserInfo              string `json:"userinfo_endpoint"`
	EndSession            string `json:"end_session_endpoint"`
	FrontchannelSession   bool   `json:"frontchannel_logout_session_supported"`
	Frontchannel          bool   `json:"frontchannel_logout_supported"`
	JWKS                  string `json:"jwks_uri"`
	CheckSession          string `json:"check_session_iframe"`
	Revocation            string `json:"revocation_endpoint"`
	BackchannelSession    bool   `json:"backchannel_logout_session_supported"`
	Backchannel           bool   `json:"backchannel_logout_supported"`
	ClaimsParameter       bool   `json:"claims_parameter_supported"`
	RequestParameter      bool   `json:"request_parameter_supported"`
	RequestURIParameter   bool   `json:"request_uri_parameter_supported"`
	RequireRegistration   bool   `json:"require_request_uri_registration"`
	ResponseIssuer        bool   `json:"authorization_response_iss_parameter_supported"`
	CertificateBoundToken bool   `json:"tls_client_certificate_bound_access_tokens"`

	Grants               []string `json:"grant_types_supported"`
	ACRs                 []string `json:"acr_values_supported"`
	ResponseTypes        []string `json:"response_types_supported"`
	ResponseModes        []string `json:"response_modes_supported"`
	SubjectTypes         []string `json:"subject_types_supported"`
	Prompts              []string `json:"prompt_values_supported"`
	IDTokenAlgorithms    []string `json:"id_token_signing_alg_values_supported"`
	UserInfoAlgorithms   []string `json:"userinfo_signing_alg_values_supported"`
	TokenAuth            []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms  []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectAuth       []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectAlgorithms []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevokeAuth           []string `json:"revocation_endpoint_auth_methods_supported"`
	RevokeAlgorithms     []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	Claims               []string `json:"claims_supported"`
	ClaimTypes           []string `json:"claim_types_supported"`
	Scopes               []string `json:"scopes_supported"`
	ChallengeMethods     []string `json:"code_challenge_methods_supported"`
}

var (
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	symmetric  = []string{"HS256", "HS384", "HS512"}
	methods    = []string{"private_key_jwt", "client_secret_basic", "client_secret_post", "client_secret_jwt"}
)

func describe(v oauth.Visit, scopes []string) document {
	realm := v.Realm.Name
	at := func(endpoint string) string { return v.Site.OpenID(realm, endpoint) }
	every := append(append([]string{}, asymmetric...), symmetric...)
	return document{
		Issuer: v.Site.Realm(realm), Authorization: at("auth"), Token: at("token"), Introspection: at("token/introspect"),
		UserInfo: at("userinfo"), EndSession: at("logout"), JWKS: at("certs"), CheckSession: at("login-status-iframe.html"), Revocation: at("revoke"),
		FrontchannelSession: true, Frontchannel: true, BackchannelSession: true, Backchannel: true, ResponseIssuer: true,
		Grants:            []string{"authorization_code", "client_credentials", "password", "refresh_token"},
		ACRs:              []string{"0", "1"},
		ResponseTypes:     []string{"code"},
		ResponseModes:     []string{"query", "fragment", "form_post"},
		SubjectTypes:      []string{"public", "pairwise"},
		Prompts:           []string{"none", "login", "consent"},
		IDTokenAlgorithms: every, UserInfoAlgorithms: append(every[:len(every):len(every)], "none"),
		TokenAuth: methods, TokenAuthAlgorithms: every, IntrospectAuth: methods, IntrospectAlgorithms: every, RevokeAuth: methods, RevokeAlgorithms: every,
		Claims:     []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "name", "given_name", "family_name", "preferred_username", "email", "acr", "azp", "nonce"},
		ClaimTypes: []string{"normal"}, Scopes: scopes, ChallengeMethods: []string{"plain", "S256"},
	}
}
