package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/server/boot"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// databaseFlags say where the database is, with Keycloak's names.
type databaseFlags struct {
	DB         string `name:"db" enum:"sqlite,postgres,dev-file" default:"sqlite" help:"Database: sqlite (a file) or postgres."`
	DBURL      string `name:"db-url" help:"Connection URL, as postgres://host:5432/gatehouse, or the file for sqlite." placeholder:"URL" env:"KC_DB_URL"`
	DBUsername string `name:"db-username" help:"Database user." env:"KC_DB_USERNAME" placeholder:"NAME"`
}

// databasePassword is not a flag: other users see command lines.
const databasePassword = "KC_DB_PASSWORD"

// properties are the system properties that the built-in data source reads.
func (d databaseFlags) properties(env Env) map[string]string {
	out := map[string]string{}
	if d.DB == "postgres" {
		out["gatehouse.database.driver"] = "postgresql"
	}
	address := d.DBURL
	if address != "" && d.DB != "postgres" && !strings.HasPrefix(address, "sqlite:") {
		address = "sqlite:" + address
	}
	if u, err := url.Parse(address); err == nil && u.User != nil {
		password, _ := u.User.Password()
		out["gatehouse.database.user"], out["gatehouse.database.password"] = u.User.Username(), password
		u.User = nil
		address = u.String()
	}
	if address != "" {
		out["gatehouse.database.url"] = address
	}
	if d.DBUsername != "" {
		out["gatehouse.database.user"] = d.DBUsername
	}
	if p := env.Getenv(databasePassword); p != "" {
		out["gatehouse.database.password"] = p
	}
	return out
}

// url is the connection URL with the credentials in it. It is a secret.
func (d databaseFlags) url(env Env) (string, error) {
	u, err := url.Parse(d.DBURL)
	if err != nil {
		return "", problem.Invalid.Errorf("cannot read --db-url: it is not a URL")
	}
	if p := d.properties(env); p["gatehouse.database.user"] != "" {
		u.User = url.UserPassword(p["gatehouse.database.user"], p["gatehouse.database.password"])
	}
	return u.String(), nil
}

type startDevCommand struct {
	databaseFlags
	logFlags
	Dir         string   `default:"data/standalone" help:"Folder that keeps the configuration, the database and the logs." type:"path"`
	Config      string   `name:"server-config" help:"The server's standalone.toml. Default: standalone.toml in the folder, if it is there, else the built-in one." placeholder:"FILE" type:"path"`
	HTTPPort    int      `name:"http-port" default:"8080" env:"KC_HTTP_PORT" help:"Port for HTTP."`
	HealthPort  int      `name:"health-port" default:"9000" help:"Port for health and metrics."`
	WebContext  string   `name:"http-relative-path" default:"/auth" env:"KC_HTTP_RELATIVE_PATH" help:"First part of every path; / for none." placeholder:"PATH"`
	Hostname    string   `env:"KC_HOSTNAME" help:"The public address, as https://sso.example.com. Default: that of each request." placeholder:"URL"`
	ImportRealm []string `help:"Realm files to import at start; realms that exist stay as they are." placeholder:"FILE" type:"path"`
	Properties  []string `short:"D" sep:"none" help:"System properties, name=value." placeholder:"NAME=VALUE"`
}

// Help is the long help.
func (startDevCommand) Help() string {
	return `The first administrator comes from KC_BOOTSTRAP_ADMIN_USERNAME and
KC_BOOTSTRAP_ADMIN_PASSWORD, or is made in the browser on this machine. It listens
on the loopback interface; -Djboss.bind.address=0.0.0.0 opens it. The database's
password comes from KC_DB_PASSWORD.`
}

// Run runs one standalone server until ctx ends.
func (c startDevCommand) Run(ctx context.Context, env Env) error {
	log, err := c.logger(env)
	if err != nil {
		return err
	}
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return problem.Invalid.Errorf("cannot create the server's folder: %w", err)
	}
	cfg, err := c.configuration(env)
	if err != nil {
		return err
	}
	p := boot.Process{Dir: c.Dir, Getenv: env.Getenv, Stdin: env.Stdin, Version: version, Clock: env.Clock, Log: log}
	begin := env.Clock.Now()
	return boot.Standalone(ctx, p, cfg, func() {
		log.Info().Str("address", "http://localhost:"+strconv.Itoa(c.HTTPPort)+c.WebContext).Dur("ms", env.Clock.Now().Sub(begin)).Msg("ready")
	})
}

// configuration is what the server boots from: its file, and the flags.
func (c startDevCommand) configuration(env Env) (servergroups.ServerConfig, error) {
	tree, err := c.tree()
	if err != nil {
		return servergroups.ServerConfig{}, err
	}
	for _, op := range c.operations() {
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			return servergroups.ServerConfig{}, err
		}
	}
	properties, err := agentFlags{Properties: c.Properties}.properties()
	if err != nil {
		return servergroups.ServerConfig{}, err
	}
	for name, value := range c.databaseFlags.properties(env) {
		properties[name] = value
	}
	properties["jboss.http.port"] = strconv.Itoa(c.HTTPPort)
	properties["gatehouse.health.port"] = strconv.Itoa(c.HealthPort)
	return servergroups.Standalone(tree, servergroups.Lookup{Properties: properties, Env: lookupIn(env)})
}

func lookupIn(env Env) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := env.Getenv(name)
		return v, v != ""
	}
}

func (c startDevCommand) tree() (profiles.Tree, error) {
	file := c.Config
	if file == "" {
		file = filepath.Join(c.Dir, "standalone.toml")
	}
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && c.Config == "":
		return profiles.Default(profiles.Standalone)
	case err != nil:
		return profiles.Tree{}, problem.Invalid.Errorf("cannot read the server's file: %w", err)
	}
	return profiles.ParseTOML(file, text)
}

// operations are what flags say in words of the management model.
func (c startDevCommand) operations() []profiles.Operation {
	identity := profiles.Address{{Type: "subsystem", Name: "identity"}}
	write := func(at profiles.Address, name string, value any) profiles.Operation {
		return profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": name, "value": value}}
	}
	path := strings.Trim(c.WebContext, "/")
	if path == "" {
		path = "/"
	}
	ops := []profiles.Operation{write(identity, "web-context", path)}
	if len(c.ImportRealm) > 0 {
		var files []any
		for _, f := range c.ImportRealm {
			files = append(files, f)
		}
		ops = append(ops, write(identity, "import", files))
	}
	if c.Hostname != "" {
		ops = append(ops, write(identity.Child("spi", "hostname").Child("provider", "default"), "properties.frontendUrl", c.Hostname))
	}
	return ops
}
