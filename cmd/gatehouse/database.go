package main

import (
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// databaseFlags say where the database is, with Keycloak's names.
type databaseFlags struct {
	DB         string `name:"db" enum:"sqlite,postgres,dev-file" default:"sqlite" env:"KC_DB" help:"Database: sqlite (a file) or postgres."`
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
