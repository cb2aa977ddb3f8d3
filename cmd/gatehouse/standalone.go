package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/management/standalone"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/server/boot"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// standaloneFlags are those of a server without a domain.
type standaloneFlags struct {
	databaseFlags
	Dir              string   `default:"data/standalone" help:"Folder that keeps the configuration, the database and the logs." type:"path"`
	Config           string   `name:"server-config" help:"The server's file. Default: standalone.toml in the folder, made at the first start." placeholder:"FILE" type:"path"`
	HTTPPort         *int     `name:"http-port" env:"KC_HTTP_PORT" help:"Port for HTTP. Default: the file's, 8080." placeholder:"PORT"`
	HealthPort       *int     `name:"health-port" env:"KC_HTTP_MANAGEMENT_PORT" help:"Port for health and metrics. Default: the file's, 9000." placeholder:"PORT"`
	ManagementPort   *int     `name:"management-http-port" help:"Port for the HTTP management interface. Default: the file's, 9990, if it is free." placeholder:"PORT"`
	WebContext       string   `name:"http-relative-path" env:"KC_HTTP_RELATIVE_PATH" help:"First part of every path; / for none. Default: the file's, /auth." placeholder:"PATH"`
	Hostname         string   `env:"KC_HOSTNAME" help:"The public address, as https://sso.example.com. Default: the file's, else that of each request." placeholder:"URL"`
	ImportRealm      []string `help:"Realm files to import at start; realms that exist stay as they are." placeholder:"FILE" type:"path"`
	Features         []string `env:"KC_FEATURES" help:"Features to enable; preview is all of the preview level." placeholder:"NAME"`
	FeaturesDisabled []string `env:"KC_FEATURES_DISABLED" help:"Features to disable." placeholder:"NAME"`
	Properties       []string `short:"D" sep:"none" help:"System properties, name=value." placeholder:"NAME=VALUE"`
}

// flagged turns trees into what the server boots from: flags go before the
// file, and are never written into it.
type flagged struct {
	standaloneFlags
	env        Env
	production *productionFlags // nil for development
}

// serve runs the server and its management interface until ctx ends.
func (c standaloneFlags) serve(ctx context.Context, env Env, tree *logs.Tree, f flagged) error {
	begin, log := env.Clock.Now(), tree.Logger("server.boot")
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return problem.Invalid.Errorf("cannot create the server's folder: %w", err)
	}
	model, err := c.model(env)
	if err != nil {
		return err
	}
	cfg, err := f.resolve(model.Tree())
	if err != nil {
		return err
	}
	server, err := boot.NewAlone(boot.Process{Dir: c.Dir, Getenv: env.Getenv, Stdin: env.Stdin, Version: version, Clock: env.Clock, Logs: tree}, model.Tree(), f.resolve)
	if err != nil {
		return err
	}
	port, err := c.managementPort(ctx, cfg, log)
	if err != nil {
		return err
	}
	management, err := standalone.NewInterface(model, standalone.Serving{Dir: c.Dir, HTTP: port, Environment: environment(env), Version: version, Clock: env.Clock, Log: tree.Logger("management")})
	if err != nil {
		return err
	}
	model.Drive(server)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = tasks.Run(ctx,
		tasks.Task{Name: "server", Run: func(ctx context.Context) error {
			defer stop() // a shutdown ends the rest
			return server.Run(ctx, func() {
				log.Info().Str("address", address(cfg)).Dur("ms", env.Clock.Now().Sub(begin)).Msg("ready")
			})
		}},
		tasks.Task{Name: "management", Run: management.Run})
	if server.Restarting() && (err == nil || errors.Is(err, context.Canceled)) {
		return again(env)
	}
	return err
}

// model opens the server's file.
func (c standaloneFlags) model(env Env) (*standalone.Model, error) {
	file := c.Config
	if file == "" {
		file = filepath.Join(c.Dir, "standalone.toml")
	} else if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, problem.NotFound.Errorf("cannot find the server's file %s", file)
	}
	return standalone.Open(standalone.Config{File: file, Logs: filepath.Join(c.Dir, "log"), Clock: env.Clock})
}

// managementPort opens the HTTP management interface's port. One that is taken
// is no reason not to start, unless it was asked for.
func (c standaloneFlags) managementPort(ctx context.Context, cfg servergroups.ServerConfig, log zerolog.Logger) (net.Listener, error) {
	binding, ok := cfg.Bindings["management-http"]
	if !ok {
		return nil, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", binding.Listen())
	switch {
	case err == nil:
		return l, nil
	case c.ManagementPort != nil:
		return nil, problem.Unavailable.Errorf("cannot listen on %s for socket-binding \"management-http\": %w", binding.Listen(), err)
	}
	log.Warn().Err(err).Msg("no HTTP management interface: its port cannot be had; --management-http-port chooses another")
	return nil, nil
}

// resolve gives what the server boots from.
func (f flagged) resolve(tree profiles.Tree) (servergroups.ServerConfig, error) {
	ops, err := f.operations(tree)
	if err != nil {
		return servergroups.ServerConfig{}, err
	}
	for _, op := range ops {
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			return servergroups.ServerConfig{}, err
		}
	}
	properties, err := f.properties(tree)
	if err != nil {
		return servergroups.ServerConfig{}, err
	}
	cfg, err := servergroups.Standalone(tree, servergroups.Lookup{Properties: properties, Env: lookupIn(f.env)})
	if err == nil && f.production != nil {
		err = f.production.check(cfg)
	}
	return cfg, err
}

// operations are what flags say in words of the management model.
func (f flagged) operations(tree profiles.Tree) (ops []profiles.Operation, err error) {
	identity := profiles.Address{{Type: "subsystem", Name: "identity"}}
	if f.WebContext != "" {
		path := strings.Trim(f.WebContext, "/")
		if path == "" {
			path = "/"
		}
		ops = append(ops, writeAttribute(identity, "web-context", path))
	}
	if len(f.ImportRealm) > 0 {
		var files []any
		for _, file := range f.ImportRealm {
			files = append(files, file)
		}
		ops = append(ops, writeAttribute(identity, "import", files))
	}
	if f.Hostname != "" {
		ops = append(ops, writeAttribute(identity.Child("spi", "hostname").Child("provider", "default"), "properties.frontendUrl", f.Hostname))
	}
	if f.production != nil {
		more, err := f.production.operations(tree)
		return append(ops, more...), err
	}
	return ops, nil
}

func writeAttribute(at profiles.Address, name string, value any) profiles.Operation {
	return profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": name, "value": value}}
}

// properties are the system properties that the flags stand for.
func (f flagged) properties(tree profiles.Tree) (map[string]string, error) {
	properties := map[string]string{}
	if f.production != nil && !set("jboss.bind.address", tree, f.env) {
		properties["jboss.bind.address"] = "0.0.0.0"
	}
	given, err := agentFlags{Properties: f.Properties}.properties()
	if err != nil {
		return nil, err
	}
	maps.Copy(properties, given)
	maps.Copy(properties, f.databaseFlags.properties(f.env))
	ports := map[string]*int{"jboss.http.port": f.HTTPPort, "gatehouse.health.port": f.HealthPort, "jboss.management.http.port": f.ManagementPort}
	if p := f.production; p != nil {
		ports["jboss.https.port"] = p.HTTPSPort
		if p.HTTPHost != "" {
			properties["jboss.bind.address"] = p.HTTPHost
		}
	}
	for name, port := range ports {
		if port != nil {
			properties[name] = strconv.Itoa(*port)
		}
	}
	for _, name := range f.Features {
		if name == "preview" {
			properties["keycloak.profile"] = name
			continue
		}
		properties["keycloak.profile.feature."+name] = "enabled"
	}
	for _, name := range f.FeaturesDisabled {
		if slices.Contains(f.Features, name) {
			return nil, problem.Invalid.Errorf("feature %q is both enabled and disabled", name)
		}
		properties["keycloak.profile.feature."+name] = "disabled"
	}
	return properties, nil
}

// set reports whether the file or the environment gives a property.
func set(name string, tree profiles.Tree, env Env) bool {
	return tree.Has(profiles.Address{{Type: "system-property", Name: name}}) || env.Getenv(servergroups.EnvName(name)) != ""
}

func lookupIn(env Env) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := env.Getenv(name)
		return v, v != ""
	}
}

// address is where people of this machine find the server.
func address(cfg servergroups.ServerConfig) string {
	if hostname := cfg.String("", "identity", "spi", "hostname", "provider", "default", "properties", "frontendUrl"); hostname != "" {
		return hostname
	}
	scheme, kind := "http", "http-listener"
	for name := range cfg.Map("http", "server", "default-server", kind) {
		if !cfg.Bool(true, "http", "server", "default-server", kind, name, "enabled") {
			scheme, kind = "https", "https-listener"
		}
	}
	path := strings.Trim(cfg.String("auth", "identity", "web-context"), "/")
	for name := range cfg.Map("http", "server", "default-server", kind) {
		binding := cfg.Bindings[cfg.String(name, "http", "server", "default-server", kind, name, "socket-binding")]
		return scheme + "://localhost:" + strconv.Itoa(binding.Port) + "/" + path
	}
	return ""
}

// environment resolves a name by the process's environment, as servers do.
func environment(env Env) profiles.Lookup {
	return func(name string) (string, bool) { return lookupIn(env)(servergroups.EnvName(name)) }
}
