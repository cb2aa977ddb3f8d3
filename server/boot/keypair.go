package boot

import (
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// keyPair names the PEM files of an https-listener.
type keyPair struct{ certificate, key, binding string }

// readKeyPair finds the certificate of the https-listener: its own files, or
// those of its security realm. nil when it has none, and does not open.
func readKeyPair(cfg servergroups.ServerConfig, dir string) (*keyPair, error) {
	name, binding := findListener(cfg, "https-listener")
	if name == "" {
		return nil, nil
	}
	get := func(attribute string) string {
		return cfg.String("", httpName, listenersPath, defaultServer, "https-listener", name, attribute)
	}
	p := &keyPair{certificate: get("certificate-file"), key: get("certificate-key-file"), binding: binding}
	realm := get("security-realm")
	if p.certificate == "" && realm == "" {
		return nil, nil
	}
	if p.certificate == "" {
		ssl, err := sslOf(cfg, realm)
		if err != nil {
			return nil, err
		}
		p.certificate, p.key = ssl["certificate-file"], ssl["certificate-key-file"]
		if p.certificate == "" {
			return nil, problem.WithHint(
				problem.Unsupported.Errorf("cannot open https-listener %q: security realm %q has the key store %q, and only PEM files are read", name, realm, ssl["keystore-path"]),
				"convert it with `keytool -importkeystore -deststoretype pkcs12` and `openssl pkcs12 -nodes`, and set certificate-file and certificate-key-file")
		}
	}
	p.certificate, p.key = within(dir, p.certificate), within(dir, p.key)
	return p, nil
}

// sslOf are the texts of a security realm's server identity.
func sslOf(cfg servergroups.ServerConfig, realm string) (map[string]string, error) {
	var v any = cfg.Realms
	for _, step := range []string{realm, "server-identity", "ssl"} {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot use security realm %q: it has no server-identity=ssl", realm)
	}
	out := map[string]string{}
	for name, value := range m {
		if s, ok := value.(string); ok {
			out[name] = s
		}
	}
	return out, nil
}

// reloadFailed says that a renewed certificate cannot be used.
func reloadFailed(log zerolog.Logger) func(error) {
	return func(err error) {
		log.Error().Err(err).Msg("cannot load the renewed certificate; going on with the one before")
	}
}
