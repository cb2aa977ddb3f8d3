package boot

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"github.com/rs/zerolog"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// readTLS makes the TLS of the https-listener from its own certificate files,
// or from those of its security realm. nil when it has none, and does not open.
func readTLS(cfg servergroups.ServerConfig, listener, dir string, c clock.Clock, log zerolog.Logger) (*tls.Config, error) {
	at := func(attribute string) []string {
		return serverPath(cfg, tlsKind, listener, attribute)
	}
	realm := securityRealm{name: cfg.String("", at("security-realm")...), cfg: cfg, dir: dir}
	certificate, key := cfg.String("", at("certificate-file")...), cfg.String("", at("certificate-key-file")...)
	var pair *loadbalancer.KeyPair
	var err error
	failed := func(err error) {
		log.Error().Err(err).Msg("cannot load the renewed certificate; going on with the one before")
	}
	switch {
	case certificate != "":
		pair, err = loadbalancer.LoadKeyPair(within(dir, certificate), within(dir, key), c, failed)
	case realm.name != "":
		pair, err = realm.keyPair(c, failed)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, problem.WithHint(problem.Invalid.Errorf("cannot open https-listener %q: %w", listener, err), "check security-realm, certificate-file and certificate-key-file of the listener")
	}
	config := &tls.Config{GetCertificate: pair.Get}
	protocols := cfg.List(at("enabled-protocols")...)
	if len(protocols) == 0 && realm.name != "" {
		protocols = realm.list("server-identity", "ssl", "enabled-protocols")
	}
	if err := readProtocols(config, protocols, "https-listener "+listener); err != nil {
		return nil, err
	}
	return config, verifyClients(config, cfg.String("NOT_REQUESTED", at("verify-client")...), realm)
}

// verifyClients asks clients for certificates, checked with the trust store of
// the security realm.
func verifyClients(config *tls.Config, mode string, realm securityRealm) (err error) {
	if mode == "NOT_REQUESTED" {
		return nil
	}
	if config.ClientCAs, err = realm.trust(); err != nil {
		return err
	}
	switch {
	case mode == "REQUIRED" && config.ClientCAs == nil:
		return problem.Invalid.Errorf("cannot require certificates of clients (verify-client): security realm %q has no authentication=truststore to check them with", realm.name)
	case mode == "REQUIRED":
		config.ClientAuth = tls.RequireAndVerifyClientCert
	case config.ClientCAs == nil:
		config.ClientAuth = tls.RequestClientCert
	default:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return nil
}

// securityRealm reads one security realm of a configuration.
type securityRealm struct {
	name string
	cfg  servergroups.ServerConfig
	dir  string // for relative files
}

func (r securityRealm) get(path ...string) any {
	var v any = r.cfg.Realms[r.name]
	for _, step := range path {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	return v
}

func (r securityRealm) text(path ...string) string {
	s, _ := r.get(path...).(string)
	return s
}

func (r securityRealm) list(path ...string) (out []string) {
	values, _ := r.get(path...).([]any)
	for _, v := range values {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// file is the store of a part of the realm: keystore-path below the path that
// keystore-relative-to names.
func (r securityRealm) file(kind, name string) (string, error) {
	return below(r.cfg, r.dir, r.text(kind, name, "keystore-path"), r.text(kind, name, "keystore-relative-to"))
}

// keyPair is the realm's certificate and key: PEM files, or a PKCS #12 store.
func (r securityRealm) keyPair(c clock.Clock, failed func(error)) (*loadbalancer.KeyPair, error) {
	const kind, name = "server-identity", "ssl"
	if _, there := r.get(kind, name).(map[string]any); !there {
		return nil, problem.Invalid.Errorf("cannot use security realm %q: it has no server-identity=ssl", r.name)
	}
	if certificate := r.text(kind, name, "certificate-file"); certificate != "" {
		return loadbalancer.LoadKeyPair(within(r.dir, certificate), within(r.dir, r.text(kind, name, "certificate-key-file")), c, failed)
	}
	store, err := r.file(kind, name)
	if err != nil {
		return nil, err
	}
	if store == "" {
		return nil, problem.Invalid.Errorf("cannot use security realm %q: its server-identity=ssl has neither certificate-file nor keystore-path", r.name)
	}
	return loadbalancer.LoadKeyStore(store, r.text(kind, name, "keystore-password"), c, failed)
}

// trust is the realm's trust store; nil when it has none.
func (r securityRealm) trust() (*x509.CertPool, error) {
	store, err := r.file("authentication", "truststore")
	if err != nil || store == "" {
		return nil, err
	}
	return readTrust(store, r.text("authentication", "truststore", "keystore-password"))
}

// readTrust reads certificates that are trusted: PEM, or a PKCS #12 trust store.
func readTrust(file, password string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	return pool, addTrust(pool, file, password)
}

func addTrust(pool *x509.CertPool, file, password string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return problem.Invalid.Errorf("cannot read a trust store: %w", err)
	}
	if pool.AppendCertsFromPEM(text) {
		return nil
	}
	certs, err := pkcs12.DecodeTrustStore(text, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return problem.Invalid.Errorf("cannot open trust store %s: the password does not fit", file)
	}
	if err != nil {
		return problem.WithHint(problem.Invalid.Errorf("cannot read trust store %s: it is neither PEM nor PKCS #12", file),
			"convert a JKS store with `keytool -importkeystore -deststoretype pkcs12`")
	}
	for _, c := range certs {
		pool.AddCert(c)
	}
	return nil
}

// ownFolders are WildFly's names of a server's own folders, below that of the
// server.
var ownFolders = map[string]string{
	"jboss.server.base.dir": "", "jboss.server.config.dir": "", "jboss.server.data.dir": "data", "jboss.server.log.dir": "log", "jboss.server.temp.dir": "tmp",
}

// below is a file below the path of a name, or below dir without one.
func below(cfg servergroups.ServerConfig, dir, file, relativeTo string) (string, error) {
	if file == "" || relativeTo == "" {
		return within(dir, file), nil
	}
	base, ok := cfg.Paths[relativeTo]
	if !ok {
		base, ok = cfg.SystemProperties[relativeTo]
	}
	if !ok {
		base, ok = ownFolders[relativeTo]
	}
	if !ok {
		return "", problem.Invalid.Errorf("cannot find %q: the server has no path %q; add /path=%s", file, relativeTo, relativeTo)
	}
	return within(within(dir, base), file), nil
}
