package keystores

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// selfSignedLifetime is how long a certificate that nobody issued holds: ten
// years, as WildFly's. It is for trying things out; nothing renews it.
const selfSignedLifetime = 10 * 365 * 24 * time.Hour

// MakeSelfSigned makes the store, with a key and a certificate for host that
// only itself has signed, unless there is one: made tells. Several processes
// may do so at once; one of the stores stays.
func (s Store) MakeSelfSigned(host string, now time.Time) (made bool, err error) {
	if _, err := os.Stat(s.File); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return false, err // one that cannot be looked at is not replaced
	}
	text, err := s.selfSigned(host, now)
	if err != nil {
		return false, problem.Internal.Errorf("cannot make a certificate for %s: %w", host, err)
	}
	return s.create(text)
}

// create writes the store whole or not at all, and not over another.
func (s Store) create(text []byte) (made bool, err error) {
	defer func() {
		if err != nil {
			err = problem.Unavailable.Errorf("cannot write key store %s: %w", s.File, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(s.File), 0o750); err != nil {
		return false, err
	}
	f, err := os.CreateTemp(filepath.Dir(s.File), ".keystore-*") // for its owner only
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), s.File)
	if errors.Is(err, fs.ErrExist) {
		return false, nil // somebody else was quicker
	}
	return err == nil, err
}

func (s Store) selfSigned(host string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	kind, err := s.kind(nil)
	if err != nil {
		return nil, err
	}
	if kind == jks {
		return s.encodeJKS(host, key, der, now)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return pkcs12.Modern.Encode(key, leaf, nil, s.Password)
}

func (s Store) encodeJKS(host string, key *ecdsa.PrivateKey, der []byte, now time.Time) ([]byte, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	alias, password := s.Alias, s.KeyPassword
	if alias == "" {
		alias = host
	}
	if password == "" {
		password = s.Password
	}
	store := keystore.New()
	entry := keystore.PrivateKeyEntry{CreationTime: now, PrivateKey: pkcs8, CertificateChain: []keystore.Certificate{{Type: "X.509", Content: der}}}
	if err := store.SetPrivateKeyEntry(alias, entry, []byte(password)); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = store.Store(&out, []byte(s.Password))
	return out.Bytes(), err
}
