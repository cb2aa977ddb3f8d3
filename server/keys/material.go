package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // x5t is defined with SHA-1 (RFC 7517, section 4.8)
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// ProviderType is the type of the components that this package reads.
const ProviderType = "org.keycloak.keys.KeyProvider"

// settings is the configuration of one key provider; a missing name is "".
type settings func(name string) string

// kind is what the name of a provider says about its keys.
type kind struct {
	generated bool
	use       Use
	algorithm string // unless the configuration says otherwise
	material  string // the setting that holds the private part
	parse     func(kind, settings) (*Key, error)
}

// kinds are the providers that Keycloak ships and that give keys here.
// "java-keystore" is left out: it reads a file in Java's own format.
func kindOf(provider string) (kind, bool) {
	k, ok := map[string]kind{
		"rsa":                  {false, Signing, "RS256", "privateKey", parseRSA},
		"rsa-generated":        {true, Signing, "RS256", "privateKey", parseRSA},
		"rsa-enc":              {false, Encryption, "RSA-OAEP", "privateKey", parseRSA},
		"rsa-enc-generated":    {true, Encryption, "RSA-OAEP", "privateKey", parseRSA},
		"hmac-generated":       {true, Signing, "HS256", "secret", parseSecret},
		"aes-generated":        {true, Encryption, "AES", "secret", parseSecret},
		"ecdsa-generated":      {true, Signing, "ES256", "ecdsaPrivateKey", parseECDSA},
		"eddsa-generated":      {true, Signing, "EdDSA", "eddsaPrivateKey", parseEdDSA},
		"ecdh-generated":       {true, Encryption, "ECDH-ES", "ecdhPrivateKey", parseECDSA},
		"hmac-generated-hs512": {true, Signing, "HS512", "secret", parseSecret},
	}[provider]
	return k, ok
}

// parse makes the key of one provider. Errors are problem.Invalid and name what
// is wrong, never the material.
func parse(component, provider string, get settings) (*Key, error) {
	k, ok := kindOf(provider)
	if !ok {
		return nil, problem.Unsupported.Errorf("cannot use key provider %q: this server does not know it", provider)
	}
	if get("algorithm") != "" {
		k.algorithm = get("algorithm")
	}
	if strings.EqualFold(get("keyUse"), string(Encryption)) && k.use == Signing && strings.HasPrefix(provider, "rsa") {
		k.use = Encryption
		if get("algorithm") == "" {
			k.algorithm = "RSA-OAEP"
		}
	}
	key, err := k.parse(k, get)
	if err != nil {
		return nil, err
	}
	key.Use, key.Provider, key.Status = k.use, component, status(get)
	if key.Algorithm == "" {
		key.Algorithm = k.algorithm
	}
	key.Priority, _ = strconv.ParseInt(get("priority"), 10, 64)
	if kid := get("kid"); kid != "" {
		key.ID = kid
	}
	if key.ID == "" {
		key.ID, err = identify(key.Public)
	}
	return key, err
}

func status(get settings) Status {
	switch {
	case get("enabled") == "false":
		return Disabled
	case get("active") == "false":
		return Passive
	}
	return Active
}

func parseRSA(_ kind, get settings) (*Key, error) {
	private, err := parsePrivate(get("privateKey"))
	if err != nil {
		return nil, err
	}
	r, ok := private.(*rsa.PrivateKey)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot use the private key: it is a %T, not RSA", private)
	}
	key := &Key{Public: r.Public(), private: r}
	if encoded := get("certificate"); encoded != "" {
		cert, err := x509.ParseCertificate(unwrap(encoded))
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read the certificate: %w", err)
		}
		if !r.PublicKey.Equal(cert.PublicKey) {
			return nil, problem.Invalid.Errorf("cannot use the certificate: it is not of this private key")
		}
		key.Certificate = []*x509.Certificate{cert}
	}
	return key, nil
}

func parseSecret(k kind, get settings) (*Key, error) {
	secret, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(get("secret"), "="))
	if err != nil || len(secret) == 0 {
		return nil, problem.Invalid.Errorf("cannot read the secret: it is not base64url")
	}
	if get("kid") == "" {
		return nil, problem.Invalid.Errorf("cannot use the secret: it has no kid")
	}
	return &Key{private: secret, Algorithm: k.algorithm}, nil
}

func parseECDSA(k kind, get settings) (*Key, error) {
	private, err := parsePrivate(get(k.material))
	if err != nil {
		return nil, err
	}
	e, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot use the private key: it is a %T, not ECDSA", private)
	}
	key := &Key{Public: e.Public(), private: e}
	if k.use == Signing {
		alg, ok := map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[e.Curve.Params().BitSize]
		if !ok {
			return nil, problem.Invalid.Errorf("cannot use the private key: curve %s is none of P-256, P-384, P-521", e.Curve.Params().Name)
		}
		key.Algorithm = string(alg)
	}
	return key, nil
}

func parseEdDSA(_ kind, get settings) (*Key, error) {
	private, err := parsePrivate(get("eddsaPrivateKey"))
	if err != nil {
		return nil, err
	}
	e, ok := private.(ed25519.PrivateKey)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot use the private key: it is a %T, not Ed25519", private)
	}
	return &Key{Public: e.Public(), private: e, Algorithm: string(jose.EdDSA)}, nil
}

// parsePrivate reads PKCS #8, PKCS #1 or SEC 1, as PEM or as its bare base64.
func parsePrivate(encoded string) (crypto.PrivateKey, error) {
	der := unwrap(encoded)
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, problem.Invalid.Errorf("cannot read the private key: it is none of PKCS #8, PKCS #1 and SEC 1")
}

// unwrap gives the DER of a PEM block or of its bare base64; nil if it is
// neither.
func unwrap(encoded string) []byte {
	if block, _ := pem.Decode([]byte(encoded)); block != nil {
		return block.Bytes
	}
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return nil
	}
	return der
}

func sha1Thumbprint(der []byte) []byte {
	sum := sha1.Sum(der)
	return sum[:]
}
