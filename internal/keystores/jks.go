package keystores

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"strings"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// openJKS reads a store whose integrity its password proves.
func (s Store) openJKS(text []byte) (keystore.KeyStore, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	err := store.Load(bytes.NewReader(text), []byte(s.Password))
	switch {
	case err != nil && strings.Contains(err.Error(), "digest"):
		err = problem.Invalid.Errorf("cannot open key store %s: the password does not fit", s.File)
	case err != nil:
		err = s.failed(err)
	}
	return store, err
}

// readJKS reads an entry with a key.
func (s Store) readJKS(text []byte) (tls.Certificate, error) {
	store, err := s.openJKS(text)
	if err != nil {
		return tls.Certificate{}, err
	}
	var aliases []string
	for _, alias := range store.Aliases() {
		if !store.IsPrivateKeyEntry(alias) {
			continue
		}
		if s.Alias != "" && !strings.EqualFold(alias, s.Alias) {
			aliases = append(aliases, alias)
			continue
		}
		entry, err := store.GetPrivateKeyEntry(alias, []byte(cmp.Or(s.KeyPassword, s.Password)))
		if err != nil {
			return tls.Certificate{}, problem.Invalid.Errorf("cannot read the key %q of key store %s: its password (key-password) does not fit", alias, s.File)
		}
		key, err := x509.ParsePKCS8PrivateKey(entry.PrivateKey)
		if err != nil {
			return tls.Certificate{}, s.failed(err)
		}
		pair := tls.Certificate{PrivateKey: key}
		for _, c := range entry.CertificateChain {
			pair.Certificate = append(pair.Certificate, c.Content)
		}
		return s.complete(pair)
	}
	return tls.Certificate{}, s.missing(aliases)
}

// complete checks that a certificate belongs to its key.
func (s Store) complete(pair tls.Certificate) (tls.Certificate, error) {
	if len(pair.Certificate) == 0 {
		return pair, problem.Invalid.Errorf("cannot use key store %s: its key has no certificate", s.File)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return pair, s.failed(err)
	}
	public, ok := leaf.PublicKey.(equal)
	signer, is := pair.PrivateKey.(signing)
	if !ok || !is || !public.Equal(signer.Public()) {
		return pair, problem.Invalid.Errorf("cannot use key store %s: the certificate is not the key's", s.File)
	}
	pair.Leaf = leaf
	return pair, nil
}
