package loadbalancer

import (
	"crypto/tls"
	"errors"
	"os"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// LoadKeyStore reads the certificate, its chain and its key from a PKCS #12
// store (RFC 7292), which may be replaced while in use as the files of
// LoadKeyPair. A store has one key.
func LoadKeyStore(file, password string, c clock.Clock, onError func(error)) (*KeyPair, error) {
	k := &KeyPair{files: []string{file}, clock: c, onError: onError, read: func() (tls.Certificate, error) { return readKeyStore(file, password) }}
	return k, k.load()
}

func readKeyStore(file, password string) (tls.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return tls.Certificate{}, problem.Invalid.Errorf("cannot read key store: %w", err)
	}
	key, leaf, chain, err := pkcs12.DecodeChain(text, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return tls.Certificate{}, problem.Invalid.Errorf("cannot open key store %s: the password does not fit", file)
	case err != nil && len(text) > 4 && string(text[:4]) == "\xfe\xed\xfe\xed":
		return tls.Certificate{}, problem.WithHint(problem.Unsupported.Errorf("cannot read key store %s: it is JKS, and PKCS #12 is read", file),
			"convert it with `keytool -importkeystore -deststoretype pkcs12`")
	case err != nil:
		return tls.Certificate{}, problem.Invalid.Errorf("cannot read key store %s: %w", file, err)
	}
	pair := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}
