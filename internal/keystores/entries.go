package keystores

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"software.sslmate.com/src/go-pkcs12"
)

// Every key of the standard library has these, in the words of its package
// crypto.
type (
	equal   interface{ Equal(x crypto.PublicKey) bool }
	signing interface{ Public() crypto.PublicKey }
)

// readEntry reads one of several entries of a PKCS #12 store: the key of an
// alias (its friendlyName), the certificate with the key's localKeyId, and the
// chain of issuers that are in the store.
func (s Store) readEntry(text []byte) (tls.Certificate, error) {
	//lint:ignore SA1019 nothing else in the library knows aliases; parseKey takes its raw keys
	blocks, err := pkcs12.ToPEM(text, s.Password)
	if err != nil {
		return tls.Certificate{}, s.failed(err)
	}
	var aliases []string
	for _, b := range blocks {
		if b.Type != "PRIVATE KEY" {
			continue
		}
		alias := b.Headers["friendlyName"]
		if s.Alias != "" && !strings.EqualFold(alias, s.Alias) {
			aliases = append(aliases, alias)
			continue
		}
		key, err := parseKey(b.Bytes)
		if err != nil {
			return tls.Certificate{}, s.failed(err)
		}
		return s.complete(tls.Certificate{PrivateKey: key, Certificate: chain(blocks, b.Headers["localKeyId"])})
	}
	return tls.Certificate{}, s.missing(aliases)
}

// parseKey reads a key in whichever form it is written.
func parseKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	return x509.ParseECPrivateKey(der)
}

// chain is the certificate of a key, then its issuer, and so on up.
func chain(blocks []*pem.Block, keyID string) (out [][]byte) {
	var all []*x509.Certificate
	var next *x509.Certificate
	for _, b := range blocks {
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			continue // of no use to anybody
		}
		all = append(all, c)
		if next == nil && b.Headers["localKeyId"] == keyID {
			next = c
		}
	}
	for next != nil && len(out) < len(all) {
		out = append(out, next.Raw)
		issuer := next.RawIssuer
		if bytes.Equal(issuer, next.RawSubject) {
			break
		}
		next = nil
		for _, c := range all {
			if bytes.Equal(c.RawSubject, issuer) {
				next = c
				break
			}
		}
	}
	return out
}
