package keystores

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"os"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Store is a key store: a file with keys and their certificates, by alias.
type Store struct {
	File     string
	Password string
	// Kind is JKS or PKCS12, whatever the case; "" is found out from the file.
	Kind string
	// Alias names the entry; "" is the first with a key.
	Alias string
	// KeyPassword is the key's own, where it is not the store's; of JKS only.
	KeyPassword string
}

// The kinds of stores.
const (
	jks   = "JKS"
	p12   = "PKCS12"
	magic = "\xfe\xed\xfe\xed" // that a JKS file begins with
)

// Check refuses a kind that there is not.
func (s Store) Check() error {
	_, err := s.kind(nil)
	return err
}

// kind is what the store is said to be, or what its file looks like.
func (s Store) kind(text []byte) (string, error) {
	switch strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(s.Kind, "#", ""), " ", "")) {
	case "":
		if bytes.HasPrefix(text, []byte(magic)) {
			return jks, nil
		}
		return p12, nil
	case jks:
		return jks, nil
	case p12:
		return p12, nil
	}
	return "", problem.Unsupported.Errorf("cannot read a key store of kind %q (valid: %s, %s)", s.Kind, jks, p12)
}

// open reads the file and tells its kind.
func (s Store) open() (text []byte, kind string, err error) {
	if text, err = os.ReadFile(s.File); err != nil {
		return nil, "", problem.Invalid.Errorf("cannot read key store: %w", err)
	}
	kind, err = s.kind(text)
	return text, kind, err
}

// pair reads the certificate, its chain and its key.
func (s Store) pair() (tls.Certificate, error) {
	text, kind, err := s.open()
	switch {
	case err != nil:
		return tls.Certificate{}, err
	case kind == jks:
		return s.readJKS(text)
	case s.Alias != "":
		return s.readEntry(text)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(text, s.Password)
	if err != nil && !errors.Is(err, pkcs12.ErrIncorrectPassword) { // several keys, for one
		if pair, entryErr := s.readEntry(text); entryErr == nil {
			return pair, nil
		}
	}
	if err != nil {
		return tls.Certificate{}, s.failed(err)
	}
	pair := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}

// failed explains why a store cannot be read.
func (s Store) failed(err error) error {
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return problem.Invalid.Errorf("cannot open key store %s: the password does not fit", s.File)
	}
	return problem.Invalid.Errorf("cannot read key store %s: %w", s.File, err)
}

// missing says that there is no such entry, and which there are.
func (s Store) missing(aliases []string) error {
	if s.Alias == "" {
		return problem.Invalid.Errorf("cannot use key store %s: it has no key", s.File)
	}
	return problem.Invalid.Errorf("cannot find alias %q with a key in key store %s (there are: %s)", s.Alias, s.File, cmp.Or(strings.Join(aliases, ", "), "none"))
}
