package keystores

import (
	"crypto/x509"
	"errors"
	"os"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// AddTrusted adds the certificates of a trust store to a pool: PEM, PKCS #12 or
// JKS.
func AddTrusted(pool *x509.CertPool, file, password string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return problem.Invalid.Errorf("cannot read a trust store: %w", err)
	}
	if pool.AppendCertsFromPEM(text) {
		return nil
	}
	s := Store{File: file, Password: password}
	kind, err := s.kind(text)
	if err != nil {
		return err
	}
	if kind == jks {
		return s.addJKS(pool, text)
	}
	certs, err := pkcs12.DecodeTrustStore(text, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return problem.Invalid.Errorf("cannot open trust store %s: the password does not fit", file)
	}
	if err != nil {
		return problem.Invalid.Errorf("cannot read trust store %s: it is neither PEM nor PKCS #12 nor JKS", file)
	}
	for _, c := range certs {
		pool.AddCert(c)
	}
	return nil
}

func (s Store) addJKS(pool *x509.CertPool, text []byte) error {
	store, err := s.openJKS(text)
	if err != nil {
		return err
	}
	for _, alias := range store.Aliases() {
		if !store.IsTrustedCertificateEntry(alias) {
			continue
		}
		entry, err := store.GetTrustedCertificateEntry(alias)
		if err != nil {
			return s.failed(err)
		}
		c, err := x509.ParseCertificate(entry.Certificate.Content)
		if err != nil {
			return problem.Invalid.Errorf("cannot read the certificate %q of trust store %s: %w", alias, s.File, err)
		}
		pool.AddCert(c)
	}
	return nil
}
