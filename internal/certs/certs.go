// Package certs makes and checks X.509 certificates of a private authority and
// the mutual TLS configurations that rest on them. It knows no product noun:
// who may hold which name is decided by its callers.
//
// A holder is named by a URI in its certificate's subject alternative names,
// for example gatehouse:/host/master. TLS here never trusts DNS names or
// addresses: a peer is who its certificate's URI says, signed by the authority.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/url"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Lifetimes. An authority outlives the installations it serves; a holder's
// certificate is short and is renewed when two thirds of it have passed.
const (
	AuthorityLifetime = 10 * 365 * 24 * time.Hour
	HolderLifetime    = 30 * 24 * time.Hour
	// Backdate is how long before its issue a certificate begins to be valid: it
	// tolerates clocks of peers that are behind by this much.
	Backdate = 5 * time.Minute
)

// Authority signs certificates. Its key never leaves it except by Marshal.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority creates a self-signed authority on P-256.
func NewAuthority(name string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(AuthorityLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{Certificate: cert, key: key}, err
}

// Marshal gives the authority as PEM: its certificate and its private key.
func (a *Authority) Marshal() (certPEM, keyPEM []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, nil, err
	}
	return EncodeCertificate(a.Certificate.Raw), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseAuthority reads what Marshal gave.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, problem.Invalid.Errorf("cannot read authority: its key does not belong to its certificate")
	}
	return &Authority{Certificate: cert, key: key}, nil
}

// Fingerprint identifies an authority: "sha256:" and the hex digest of its
// certificate's DER form.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Sign issues a certificate for the public key of a certificate request (DER).
// The request proves possession of the key and nothing else: the holder's name
// is the given URI, whatever the request says.
func (a *Authority) Sign(requestDER []byte, holder *url.URL, now time.Time) (certPEM []byte, err error) {
	req, err := x509.ParseCertificateRequest(requestDER)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot sign certificate for %s: %w", holder, err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, problem.Invalid.Errorf("cannot sign certificate for %s: the request is not signed by its key: %w", holder, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: holder.String()},
		URIs:         []*url.URL{holder},
		NotBefore:    now.Add(-Backdate),
		NotAfter:     now.Add(HolderLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.Certificate, req.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return EncodeCertificate(der), nil
}

// Key is a holder's private key, P-256.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return Key{k}, err
}

// Request is a certificate request (DER) for the key.
func (k Key) Request() ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k.private)
}

// Marshal gives the key as PEM (PKCS 8).
func (k Key) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads what Marshal gave.
func ParseKey(keyPEM []byte) (Key, error) {
	k, err := parseKey(keyPEM)
	return Key{k}, err
}

// Signer is the key for use in TLS.
func (k Key) Signer() crypto.Signer { return k.private }

// EncodeCertificate gives a certificate's DER form as PEM.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// ParseCertificate reads the first certificate of a PEM text.
func ParseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, problem.Invalid.Errorf("cannot read certificate: no PEM block CERTIFICATE")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(keyPEM []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, problem.Invalid.Errorf("cannot read private key: no PEM block PRIVATE KEY")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read private key: %w", err)
	}
	ec, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot read private key: want ECDSA P-256, got %T", k)
	}
	return ec, nil
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}
