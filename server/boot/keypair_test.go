package boot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// store writes a PKCS #12 key store and its certificate as PEM.
func store(t *testing.T, dir, password string) (keyStore, certificate string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := clock.Real().Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sso.example.com"}, DNSNames: []string{"sso.example.com"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	text, err := pkcs12.Modern.Encode(key, cert, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	keyStore, certificate = filepath.Join(dir, "keycloak.p12"), filepath.Join(dir, "ca.pem")
	for name, text := range map[string][]byte{keyStore: text, certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keyStore, certificate
}

// The guide, "Setting up HTTPS/SSL": a realm with a key store below a path.
func TestHTTPSWithAKeyStoreOfASecurityRealm(t *testing.T) {
	dir := t.TempDir()
	_, authority := store(t, dir, "changeit")
	cfg := subsystems(map[string]any{tlsAt + "security-realm": "UndertowRealm", tlsAt + "verify-client": "REQUIRED", tlsAt + "enabled-protocols": []any{"TLSv1.3"}})
	cfg.Paths = map[string]string{"jboss.server.config.dir": dir}
	cfg.Realms = nest(map[string]any{
		"UndertowRealm|server-identity|ssl":                     map[string]any{"keystore-path": "keycloak.p12", "keystore-relative-to": "jboss.server.config.dir", "keystore-password": "changeit"},
		"UndertowRealm|authentication|truststore|keystore-path": authority,
	})
	address := serveOn(t, oneListener(t, cfg, dir), hello)
	trust, err := readTrust(authority, "")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(config *tls.Config) error {
		config.RootCAs, config.ServerName = trust, "sso.example.com"
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}).Get("https://" + address)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	text, _ := os.ReadFile(filepath.Join(dir, "keycloak.p12"))
	key, leaf, _, err := pkcs12.DecodeChain(text, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	mine := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	if err := dial(&tls.Config{Certificates: []tls.Certificate{mine}}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := dial(&tls.Config{}); err == nil {
		t.Error("a client without a certificate was served though verify-client is REQUIRED")
	}
	if err := dial(&tls.Config{Certificates: []tls.Certificate{mine}, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken though enabled-protocols is TLSv1.3")
	}
}

// TestACertificateIsMadeForAHostThatHasNone: once; the next start finds it.
func TestACertificateIsMadeForAHostThatHasNone(t *testing.T) {
	for name, ssl := range map[string]map[string]any{
		"":           {},
		"tls/ks.jks": {"keystore-path": "tls/ks.jks", "keystore-password": "changeit", "keystore-provider": "jks"},
		"ks.p12":     {"keystore-path": "ks.p12", "keystore-password": "changeit", "alias": ""},
	} {
		dir := t.TempDir()
		ssl["generate-self-signed-certificate-host"] = "sso.example.com"
		cfg := subsystems(nil)
		cfg.Realms = nest(map[string]any{"Undertow Realm|server-identity|ssl": ssl})
		realm := securityRealm{name: "Undertow Realm", cfg: cfg, dir: dir}
		var made []byte
		for range 2 {
			pair, err := realm.keyPair(clock.Real(), zerolog.Nop(), func(err error) { t.Error(err) })
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got, err := pair.Get(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Leaf.VerifyHostname("sso.example.com"); err != nil {
				t.Error(err)
			}
			if made != nil && string(made) != string(got.Certificate[0]) {
				t.Errorf("%q: another certificate was made at the next start", name)
			}
			made = got.Certificate[0]
		}
		if name == "" {
			name = "data/tls/Undertow%20Realm.keystore"
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v (%v)", name, info, err)
		}
	}
}

func TestAKeyStoreThatCannotBeUsedIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	store(t, dir, "changeit")
	for want, ssl := range map[string]map[string]any{
		"the password does not fit": {"keystore-path": "keycloak.p12", "keystore-password": "wrong"},
		"no such file":              {"keystore-path": "gone.p12"},
		"no path":                   {"keystore-path": "keycloak.p12", "keystore-relative-to": "nowhere"},
		"neither certificate-file":  {},
		`alias "other" with a key`:  {"keystore-path": "keycloak.p12", "keystore-password": "changeit", "alias": "other"},
		"valid: JKS, PKCS12":        {"keystore-path": "keycloak.p12", "keystore-password": "changeit", "keystore-provider": "BKS"},
	} {
		cfg := subsystems(map[string]any{tlsAt + "security-realm": "R"})
		cfg.Realms = nest(map[string]any{"R|server-identity|ssl": ssl})
		if _, err := readWeb(cfg, dir, clock.Real(), zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", ssl, err, want)
		}
	}
}
