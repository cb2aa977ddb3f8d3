package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

// open opens the database that the flags name.
func (d databaseFlags) open(ctx context.Context, env Env) (storage.Store, error) {
	if d.DBURL == "" {
		return nil, problem.WithHint(problem.Invalid.Errorf("cannot open a database: --db-url is missing"),
			"give the file of a SQLite database (the demo's is data/demo/identity.db), or --db postgres and a URL")
	}
	o := storage.Options{Clock: env.Clock, Log: zerolog.Nop(), Holder: "gatehouse import/export"}
	if d.DB == "postgres" {
		url, err := d.url(env)
		if err != nil {
			return nil, err
		}
		return keep(postgres.Open(ctx, url, o))
	}
	return keep(sqlite.Open(ctx, d.DBURL, o))
}

func keep[S storage.Store](store S, err error) (storage.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

type importCommand struct {
	databaseFlags
	File     []string `arg:"" help:"Realm files: one realm, several, or a realm's file and its users' files." type:"existingfile"`
	Master   string   `name:"master-realm-name" default:"master" help:"The realm whose administrators manage all realms, as the servers' attribute master-realm-name says." placeholder:"NAME"`
	Strategy string   `enum:"ignore-existing,overwrite,fail" default:"ignore-existing" help:"What a realm that exists already means."`
	Override *bool    `hidden:"" help:"As Keycloak's: true is overwrite, false is ignore-existing."`
}

var importStrategies = map[string]realmfile.Strategy{
	"ignore-existing": realmfile.IgnoreExisting, "overwrite": realmfile.Overwrite, "fail": realmfile.Fail,
}

// Run imports the files, each whole or not at all, and says what it did.
func (c importCommand) Run(ctx context.Context, env Env) (err error) {
	if c.Master == "" {
		return problem.Invalid.Errorf("cannot import: --master-realm-name is empty: want the name of a realm, as %s", model.Master)
	}
	store, err := c.open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if c.Override != nil {
		c.Strategy = map[bool]string{true: "overwrite", false: "ignore-existing"}[*c.Override]
	}
	accounts := authentication.NewAccounts(store, passwords.NewHasher(0), env.Clock, zerolog.Nop())
	options := realmfile.Options{Strategy: importStrategies[c.Strategy], Master: c.Master, Hash: func(ctx context.Context, realm *model.Realm, password string) (model.Credential, error) {
		return accounts.NewPassword(ctx, realm, password, false)
	}}
	for _, file := range c.File {
		text, err := os.ReadFile(file)
		if err != nil {
			return problem.Invalid.Errorf("cannot import: %w", err)
		}
		report, err := realmfile.Import(ctx, store, text, options)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, line := range report.Lines() {
			fmt.Fprintln(env.Stdout, line)
		}
	}
	return nil
}

type exportCommand struct {
	databaseFlags
	Realm   string `required:"" help:"The realm's name." placeholder:"NAME"`
	File    string `help:"Where to write; default: standard output." placeholder:"FILE" type:"path"`
	Users   bool   `default:"true" negatable:"" help:"With users."`
	Secrets bool   `default:"true" negatable:"" help:"With secrets: client secrets, keys, hashed credentials. The file then is a secret."`
}

// Run writes a realm file.
func (c exportCommand) Run(ctx context.Context, env Env) (err error) {
	store, err := c.open(ctx, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	text, err := realmfile.Export(ctx, store, c.Realm, realmfile.ExportOptions{Users: c.Users, Secrets: c.Secrets})
	if err != nil {
		return err
	}
	if c.File != "" {
		return os.WriteFile(c.File, text, 0o600)
	}
	_, err = env.Stdout.Write(append(text, '\n'))
	return err
}
