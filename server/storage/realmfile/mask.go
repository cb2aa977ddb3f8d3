package realmfile

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// mask replaces the secrets of contents.
func mask(c *model.Contents) {
	for _, key := range []string{"privateKey", "codeSecret"} {
		if c.Realm.Has(key) {
			c.Realm.SetRaw(key, []byte(`"`+Mask+`"`))
		}
	}
	maskMap(c.Realm.SMTPServer)
	for i := range c.Realm.IdentityProviders {
		maskMap(c.Realm.IdentityProviders[i].Config)
	}
	for _, client := range c.Clients {
		if client.Secret != "" {
			client.Secret = Mask
		}
		if client.Has("registrationAccessToken") {
			client.SetRaw("registrationAccessToken", []byte(`"`+Mask+`"`))
		}
		maskMap(client.Attributes)
	}
	for _, component := range c.Components {
		for name, values := range component.Config {
			if !secretName(name) {
				continue
			}
			for i := range values {
				values[i] = Mask
			}
		}
	}
	for _, user := range c.Users {
		user.Credentials = nil
	}
}

func maskMap(config map[string]string) {
	for name, value := range config {
		if secretName(name) && value != "" {
			config[name] = Mask
		}
	}
}

// secretName reports whether a setting of that name is a secret, by the names
// Keycloak's providers use.
func secretName(name string) bool {
	switch name {
	case "privateKey", "secret", "clientSecret", "bindCredential", "password", "keystorePassword", "keyPassword",
		"truststorePassword", "authTokenValue", "saml.signing.private.key", "saml.encryption.private.key", "client.secret.rotated":
		return true
	}
	lower := strings.ToLower(name)
	return strings.HasSuffix(lower, "password") || strings.HasSuffix(lower, ".private.key")
}
