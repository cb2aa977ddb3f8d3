package boot

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/keystores"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
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
	var pair *keystores.Pair
	var err error
	failed := func(err error) {
		log.Error().Err(err).Msg("cannot load the renewed certificate; going on with the one before")
	}
	switch {
	case certificate != "":
		pair, err = keystores.LoadPEM(within(dir, certificate), within(dir, key), c, failed)
	case realm.name != "":
		pair, err = realm.keyPair(c, log, failed)
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

// keyPair is the realm's certificate and key: PEM files, or a key store.
func (r securityRealm) keyPair(c clock.Clock, log zerolog.Logger, failed func(error)) (*keystores.Pair, error) {
	const kind, name = "server-identity", "ssl"
	if _, there := r.get(kind, name).(map[string]any); !there {
		return nil, problem.Invalid.Errorf("cannot use security realm %q: it has no server-identity=ssl", r.name)
	}
	if certificate := r.text(kind, name, "certificate-file"); certificate != "" {
		return keystores.LoadPEM(within(r.dir, certificate), within(r.dir, r.text(kind, name, "certificate-key-file")), c, failed)
	}
	store, err := r.store()
	if err != nil {
		return nil, err
	}
	if host := r.text(kind, name, "generate-self-signed-certificate-host"); host != "" {
		made, err := store.MakeSelfSigned(host, c.Now())
		if err != nil {
			return nil, err
		}
		if made {
			log.Warn().Str("file", store.File).Str("host", host).Str("realm", r.name).
				Msg("made a certificate that only itself has signed: browsers warn of it; put a real one in its place")
		}
	}
	return keystores.Load(store, c, failed)
}

// store is the realm's key store. One that is made for a host has a place of
// its own when none is said.
func (r securityRealm) store() (s keystores.Store, err error) {
	const kind, name = "server-identity", "ssl"
	get := func(attribute string) string { return r.text(kind, name, attribute) }
	s = keystores.Store{Password: get("keystore-password"), Kind: get("keystore-provider"), Alias: get("alias"), KeyPassword: get("key-password")}
	if s.File, err = r.file(kind, name); err != nil {
		return s, err
	}
	if s.File == "" && get("generate-self-signed-certificate-host") != "" {
		s.File = filepath.Join(r.dir, "data", "tls", url.PathEscape(r.name)+".keystore")
	}
	if s.File == "" {
		return s, problem.Invalid.Errorf("cannot use security realm %q: its server-identity=ssl has neither certificate-file nor keystore-path", r.name)
	}
	return s, s.Check()
}

// trust is the realm's trust store; nil when it has none.
func (r securityRealm) trust() (*x509.CertPool, error) {
	store, err := r.file("authentication", "truststore")
	if err != nil || store == "" {
		return nil, err
	}
	return readTrust(store, r.text("authentication", "truststore", "keystore-password"))
}

// readTrust reads certificates that are trusted: PEM, PKCS #12 or JKS.
func readTrust(file, password string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	return pool, keystores.AddTrusted(pool, file, password)
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
