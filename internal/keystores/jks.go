package keystores

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the format's own
	"crypto/tls"
	"crypto/x509"
	"strings"
	"unicode/utf16"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// intact reports whether the store is as it was written with its password: the
// last bytes are SHA-1 of password, a salt that is the same for all, and the
// rest (Java's class sun.security.provider.JavaKeyStore). The library believes
// every length that it reads, so only such a store is given to it.
func (s Store) intact(text []byte) bool {
	end := len(text) - sha1.Size
	if end < 0 {
		return false
	}
	h := sha1.New()
	for _, unit := range utf16.Encode([]rune(s.Password)) {
		h.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(text[:end])
	return bytes.Equal(h.Sum(nil), text[end:])
}

// openJKS reads a store whose integrity its password proves.
func (s Store) openJKS(text []byte) (keystore.KeyStore, error) {
	store := keystore.New(keystore.WithOrderedAliases())
	if !bytes.HasPrefix(text, []byte(magic)) {
		return store, problem.Invalid.Errorf("cannot read key store %s: it is not JKS", s.File)
	}
	if !s.intact(text) {
		return store, problem.Invalid.Errorf("cannot open key store %s: the password does not fit, or the file is damaged", s.File)
	}
	if err := store.Load(bytes.NewReader(text), []byte(s.Password)); err != nil {
		return store, s.failed(err)
	}
	return store, nil
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
