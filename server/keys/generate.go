package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// certificateLife is how long the certificate of a generated key is valid: it
// only wraps the key for clients that want x5c, nobody renews it.
const certificateLife = 10 * 365 * 24 * time.Hour

// generate makes the material that a generated provider lacks and returns the
// settings to store, in the forms that Keycloak reads and writes.
func generate(realm, provider string, get settings, now time.Time) (map[string]string, error) {
	k, ok := kindOf(provider)
	if !ok || !k.generated {
		return nil, problem.Invalid.Errorf("cannot generate a key: provider %q has none", provider)
	}
	switch k.material {
	case "privateKey":
		return generateRSA(realm, get, now)
	case "secret":
		return generateSecret(k, get)
	case "eddsaPrivateKey":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return pair(private, "eddsaPrivateKey", "eddsaPublicKey")
	}
	return generateEC(k, get)
}

func generateRSA(realm string, get settings, now time.Time) (map[string]string, error) {
	bits, err := number(get("keySize"), 2048)
	if err != nil || bits < 1024 || bits > 8192 {
		return nil, problem.Invalid.Errorf("cannot generate an RSA key: keySize %q is not between 1024 and 8192", get("keySize"))
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot generate an RSA key: %w", err)
	}
	name := pkix.Name{CommonName: realm}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixMilli()), Subject: name, Issuer: name,
		NotBefore: now, NotAfter: now.Add(certificateLife),
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot certify an RSA key: %w", err)
	}
	return map[string]string{
		"privateKey":  base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)),
		"certificate": base64.StdEncoding.EncodeToString(der),
	}, nil
}

// generateSecret makes a secret: as long as the hash's block needs for HMAC
// (RFC 7518, section 3.2), 16 bytes for AES.
func generateSecret(k kind, get settings) (map[string]string, error) {
	size := 64
	if k.use == Encryption {
		size = 16
	} else if get("algorithm") == "HS512" || k.algorithm == "HS512" {
		size = 128
	}
	size, err := number(get("secretSize"), size)
	if err != nil || size < 16 || size > 4096 {
		return nil, problem.Invalid.Errorf("cannot generate a secret: secretSize %q is not between 16 and 4096 bytes", get("secretSize"))
	}
	secret := make([]byte, size)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return map[string]string{
		"kid":    uuid.NewString(),
		"secret": base64.RawURLEncoding.EncodeToString(secret),
	}, nil
}

func generateEC(k kind, get settings) (map[string]string, error) {
	prefix := k.material[:5] // ecdsa, or "ecdhP" for the key agreement
	if k.use == Encryption {
		prefix = "ecdh"
	}
	name := get(prefix + "EllipticCurveKey")
	curve, ok := map[string]elliptic.Curve{"": elliptic.P256(), "P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[name]
	if !ok {
		return nil, problem.Invalid.Errorf("cannot generate a key: curve %q is none of P-256, P-384, P-521", name)
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot generate a key: %w", err)
	}
	return pair(key, prefix+"PrivateKey", prefix+"PublicKey")
}

func pair(private crypto.Signer, privateName, publicName string) (map[string]string, error) {
	p8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	return map[string]string{
		privateName: base64.StdEncoding.EncodeToString(p8),
		publicName:  base64.StdEncoding.EncodeToString(spki),
	}, nil
}

func number(s string, fallback int) (int, error) {
	if s == "" {
		return fallback, nil
	}
	return strconv.Atoi(s)
}
