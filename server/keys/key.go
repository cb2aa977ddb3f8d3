// Package keys owns the keys of realms: from key provider components to keys
// that sign, verify, encrypt and are published. It makes missing key material
// once, whatever number of servers ask for it at the same moment, and it is the
// only package that knows the JOSE library's signers. It knows no claims, no
// tokens and no endpoints.
package keys

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"sync"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Use is what a key is for, as in RFC 7517, section 4.2.
type Use string

// The uses of keys.
const (
	Signing    Use = "sig"
	Encryption Use = "enc"
)

// Status says how far a key is used.
type Status string

// The statuses of keys: an active key signs and verifies, a passive one only
// verifies, a disabled one does neither. Keycloak's names.
const (
	Active   Status = "ACTIVE"
	Passive  Status = "PASSIVE"
	Disabled Status = "DISABLED"
)

// Key is one key of a realm. It is immutable and safe for concurrent use.
type Key struct {
	ID          string // kid
	Algorithm   string // JOSE "alg": RS256, ES256, EdDSA, HS512, AES, RSA-OAEP ...
	Use         Use
	Status      Status
	Priority    int64
	Provider    string              // id of the component it comes from
	Public      crypto.PublicKey    // nil for a secret
	Certificate []*x509.Certificate // leaf first; nil if there is none

	private any      // crypto.Signer or []byte
	signers sync.Map // JOSE "typ" -> jose.Signer
}

// Symmetric reports whether the key is a secret, which is never published.
func (k *Key) Symmetric() bool { return k.Public == nil }

// Secret is the key's secret, nil for a key pair.
func (k *Key) Secret() []byte {
	b, _ := k.private.([]byte)
	return b
}

// Type is the JOSE "kty".
func (k *Key) Type() string {
	switch {
	case k.Symmetric():
		return "OCT"
	case k.Algorithm == string(jose.EdDSA):
		return "OKP"
	case len(k.Algorithm) > 1 && k.Algorithm[:2] == "ES":
		return "EC"
	}
	return "RSA"
}

// Sign makes a compact JWS (RFC 7515) of payload with "typ", "alg" and "kid" in
// its header.
func (k *Key) Sign(typ string, payload []byte) (string, error) {
	signer, err := k.signer(typ)
	if err != nil {
		return "", err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", problem.Internal.Errorf("cannot sign with key %s: %w", k.ID, err)
	}
	return jws.CompactSerialize()
}

// signer is built once per key and typ: building costs as much as an HMAC.
func (k *Key) signer(typ string) (jose.Signer, error) {
	if s, ok := k.signers.Load(typ); ok {
		return s.(jose.Signer), nil
	}
	if k.Use != Signing || k.Status != Active {
		return nil, problem.Precondition.Errorf("cannot sign with key %s: it is %s for use %q", k.ID, k.Status, k.Use)
	}
	s, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k.private},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("kid", k.ID))
	if err != nil {
		return nil, problem.Internal.Errorf("cannot sign with key %s: %w", k.ID, err)
	}
	k.signers.Store(typ, s)
	return s, nil
}

// verify returns the payload of a parsed JWS whose only signature is this key's.
func (k *Key) verify(jws *jose.JSONWebSignature) ([]byte, error) {
	key := k.private
	if !k.Symmetric() {
		key = k.Public
	}
	return jws.Verify(key)
}

// jwk is the public form of the key.
func (k *Key) jwk() jose.JSONWebKey {
	j := jose.JSONWebKey{Key: k.Public, KeyID: k.ID, Algorithm: k.Algorithm, Use: string(k.Use), Certificates: k.Certificate}
	if len(k.Certificate) > 0 {
		t256 := sha256.Sum256(k.Certificate[0].Raw)
		j.CertificateThumbprintSHA256 = t256[:]
		j.CertificateThumbprintSHA1 = sha1Thumbprint(k.Certificate[0].Raw)
	}
	return j
}

// identify is the kid that Keycloak gives a key pair: the base64url SHA-256 of
// the public key's SubjectPublicKeyInfo.
func identify(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", problem.Invalid.Errorf("cannot name a key: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
