package boot

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/keystores"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// readOutgoing makes the client of calls to others, as key sets of clients and
// their back-channel logout: spi connectionsHttpClient and spi truststore, with
// the names and defaults of the guide's chapter "Outgoing HTTP Requests".
func readOutgoing(cfg servergroups.ServerConfig, dir string) (*http.Client, error) {
	p := properties{cfg, []string{identityName, "spi", "connectionsHttpClient", "provider", "default", "properties"}}
	var failed error
	number := func(name string, def int64) int64 {
		n, err := p.number(name, def)
		if failed == nil {
			failed = err
		}
		return n
	}
	millis := func(name string, def int64) time.Duration {
		return time.Duration(number(name, def)) * time.Millisecond
	}
	connect := millis("establish-connection-timeout-millis", outgoingLimit.Milliseconds())
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connect}).DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: connect,
		MaxIdleConns:        int(number("connection-pool-size", 128)),
		MaxConnsPerHost:     int(number("max-pooled-per-route", 64)),
		IdleConnTimeout:     millis("max-connection-idle-time-millis", 900000),
	}
	client := &http.Client{Transport: t, Timeout: millis("socket-timeout-millis", outgoingLimit.Milliseconds())}
	if failed != nil {
		return nil, failed
	}
	mappings, err := readProxies(cfg.List(append(p.at, "proxy-mappings")...))
	if err != nil {
		return nil, err
	}
	if len(mappings) > 0 {
		t.Proxy = mappings.proxy
	}
	trust, err := outgoingTrust(cfg, dir)
	if err != nil {
		return nil, err
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust, InsecureSkipVerify: p.text("disable-trust-manager") == "true"} //nolint:gosec // the operator's own word
	return client, nil
}

// outgoingTrust are the certificates of spi truststore, provider file, beside
// the machine's; nil for the machine's only.
func outgoingTrust(cfg servergroups.ServerConfig, dir string) (*x509.CertPool, error) {
	p := properties{cfg, []string{identityName, "spi", "truststore", "provider", "file", "properties"}}
	file := p.text("file")
	if file == "" || p.text("disabled") == "true" || !enabled(cfg, "truststore", "file") {
		return nil, nil
	}
	if policy := strings.ToUpper(p.text("hostname-verification-policy")); policy == "ANY" {
		return nil, problem.Unsupported.Errorf("cannot use hostname-verification-policy ANY of spi truststore: names are always checked (valid: WILDCARD, STRICT)")
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	return pool, keystores.AddTrusted(pool, within(dir, file), p.text("password"))
}

// properties are those of a provider. Their values are texts.
type properties struct {
	cfg servergroups.ServerConfig
	at  []string
}

func (p properties) text(name string) string {
	return p.cfg.String("", append(p.at[:len(p.at):len(p.at)], name)...)
}

func (p properties) number(name string, def int64) (int64, error) {
	text := p.text(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, problem.Invalid.Errorf("cannot use %s %q of spi %s: want a number, 0 or more", name, text, p.at[2])
	}
	return n, nil
}

// proxies say through which proxy a host is reached: the first whose pattern
// is the whole host name. A host that none fits is reached directly.
type proxies []mapping

type mapping struct {
	host *regexp.Regexp
	via  *url.URL // nil: directly
}

// readProxies reads "<regular expression>;<address>"; the address NO_PROXY is
// none.
func readProxies(texts []string) (proxies, error) {
	var out proxies
	for _, text := range texts {
		pattern, address, ok := strings.Cut(text, ";")
		if !ok {
			return nil, problem.Invalid.Errorf("cannot use proxy mapping %q: want <pattern of hosts>;<address of the proxy>, or ;NO_PROXY", pattern)
		}
		host, err := regexp.Compile("^(?:" + strings.TrimSpace(pattern) + ")$")
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot use the pattern of proxy mapping %q: %w", pattern, err)
		}
		m := mapping{host: host}
		if address = strings.TrimSpace(address); address != "NO_PROXY" {
			// Not with its text in the error: it may have a password.
			if m.via, err = url.Parse(address); err != nil || m.via.Scheme != "http" && m.via.Scheme != "https" || m.via.Host == "" {
				return nil, problem.Invalid.Errorf("cannot use the proxy for %q: want http://host:port, https://host:port or NO_PROXY", pattern)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// proxy is http.Transport.Proxy.
func (p proxies) proxy(r *http.Request) (*url.URL, error) {
	for _, m := range p {
		if m.host.MatchString(r.URL.Hostname()) {
			return m.via, nil
		}
	}
	return nil, nil
}
