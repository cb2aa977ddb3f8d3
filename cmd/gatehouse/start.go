package main

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

type startCommand struct {
	standaloneFlags
	logFlags
	productionFlags
}

// productionFlags are what start has beside start-dev, with Keycloak's names.
type productionFlags struct {
	HTTPEnabled    bool   `name:"http-enabled" negatable:"" env:"KC_HTTP_ENABLED" help:"Serve HTTP too, for a proxy in front that ends TLS."`
	HTTPHost       string `name:"http-host" env:"KC_HTTP_HOST" help:"Address to listen on. Default: that of the file's interface public, where -D or the environment set it, else all." placeholder:"ADDRESS"`
	HTTPSPort      *int   `name:"https-port" env:"KC_HTTPS_PORT" help:"Port for HTTPS. Default: the file's, 8443." placeholder:"PORT"`
	Certificate    string `name:"https-certificate-file" env:"KC_HTTPS_CERTIFICATE_FILE" help:"PEM: the certificate and its chain. A new one is read when the file changes." placeholder:"FILE" type:"path"`
	CertificateKey string `name:"https-certificate-key-file" env:"KC_HTTPS_CERTIFICATE_KEY_FILE" help:"PEM: the certificate's key." placeholder:"FILE" type:"path"`
	HostnameStrict bool   `name:"hostname-strict" default:"true" negatable:"" env:"KC_HOSTNAME_STRICT" help:"Refuse to start without a hostname; false takes it from each request."`
	ProxyHeaders   string `name:"proxy-headers" enum:",xforwarded" default:"" env:"KC_PROXY_HEADERS" help:"Headers of the proxy in front that are believed: xforwarded." placeholder:"HEADERS"`
	Optimized      bool   `hidden:"" help:"Taken from Keycloak; there is nothing to build."`
}

// Help is the long help.
func (startCommand) Help() string {
	return `One standalone server for production: HTTPS, and a hostname. Behind a proxy that ends
TLS use --http-enabled with --proxy-headers=xforwarded. Several servers that are managed
as one are a domain: see gatehouse domain.

The folder keeps standalone.toml, the configuration. Change it while the server runs:
gatehouse cli --controller=DIR/management.sock. Flags go before the file, and are not
written into it.`
}

// Run runs one standalone server until ctx ends.
func (c startCommand) Run(ctx context.Context, env Env) error {
	tree, err := c.tree(env)
	if err != nil {
		return err
	}
	defer tree.Close()
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	return c.serve(ctx, env, tree, flagged{standaloneFlags: c.standaloneFlags, env: env, production: &c.productionFlags})
}

// operations are what the flags say in words of the management model, for a
// tree.
func (p productionFlags) operations(tree profiles.Tree) ([]profiles.Operation, error) {
	server := profiles.Address{{Type: "subsystem", Name: "http"}, {Type: "server", Name: "default-server"}}
	var ops []profiles.Operation
	plain, secure := tree.Names(server, "http-listener"), tree.Names(server, "https-listener")
	for _, name := range plain {
		at := server.Child("http-listener", name)
		ops = append(ops, writeAttribute(at, "enabled", p.HTTPEnabled))
	}
	if p.ProxyHeaders != "" {
		for _, name := range plain {
			ops = append(ops, writeAttribute(server.Child("http-listener", name), "proxy-address-forwarding", true))
		}
		for _, name := range secure {
			ops = append(ops, writeAttribute(server.Child("https-listener", name), "proxy-address-forwarding", true))
		}
	}
	if p.Certificate == "" && p.CertificateKey == "" {
		return ops, nil
	}
	if p.Certificate == "" || p.CertificateKey == "" {
		return nil, problem.Invalid.Errorf("cannot serve HTTPS: give both --https-certificate-file and --https-certificate-key-file")
	}
	if len(secure) == 0 {
		return nil, problem.Invalid.Errorf("cannot serve HTTPS: %s has no https-listener", server)
	}
	at := server.Child("https-listener", secure[0])
	return append(ops, writeAttribute(at, "certificate-file", p.Certificate), writeAttribute(at, "certificate-key-file", p.CertificateKey)), nil
}

// check refuses what is not fit for production.
func (p productionFlags) check(cfg servergroups.ServerConfig) error {
	if p.HostnameStrict && cfg.String("", "identity", "spi", "hostname", "provider", "default", "properties", "frontendUrl") == "" {
		return problem.WithHint(problem.Invalid.Errorf("cannot start: hostname is not configured"),
			"give --hostname=https://sso.example.com, or set --hostname-strict=false to take it from each request")
	}
	if p.HTTPEnabled {
		return nil
	}
	for name := range cfg.Map("http", "server", "default-server", "https-listener") {
		get := func(attribute string) string {
			return cfg.String("", "http", "server", "default-server", "https-listener", name, attribute)
		}
		if get("certificate-file") != "" || get("security-realm") != "" {
			return nil
		}
	}
	return problem.WithHint(problem.Invalid.Errorf("cannot start: there is no certificate for HTTPS, and HTTP is not enabled"),
		"give --https-certificate-file and --https-certificate-key-file, or --http-enabled=true behind a proxy that ends TLS; gatehouse start-dev needs neither")
}
