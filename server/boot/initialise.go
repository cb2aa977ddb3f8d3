package boot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

// bootLock serializes start-up: of any number of servers that boot at once one
// prepares the database, and the others find it prepared.
const bootLock = "boot"

// open opens the server's database; drivers bring its schema up to date, one
// server at a time.
func (g *identity) open(ctx context.Context) (storage.Store, error) {
	s := g.now.Load()
	o := storage.Options{
		Clock: g.Clock, Log: g.logger("server.storage"), Holder: g.nodeName, MaxConns: s.database.maxConns,
		SweepEvery: s.sweepEvery, LockRecheck: s.lockAgain,
		Source: dataSource, ConnWait: s.database.wait, MinConns: s.database.minConns, InitialConns: s.database.initial, MaxConnIdle: s.database.idle, Schema: s.database.schema,
	}
	if s.database.driver == "postgresql" {
		return asStore(postgres.Open(ctx, s.database.url(), o))
	}
	return asStore(sqlite.Open(ctx, s.database.address, o))
}

// asStore keeps a failed driver from becoming a store that is not nil, and says
// where the operator finds what is wrong.
func asStore[S storage.Store](store S, err error) (storage.Store, error) {
	if err != nil {
		return nil, fmt.Errorf("/subsystem=datasources/data-source=%s, connection-url: %w", dataSource, err)
	}
	return store, nil
}

// initialise makes what every server needs to find: the master realm, its
// first administrator, and the realms of the configured files. It runs under
// the boot lock, which a server waits for as long as dblock's lockWaitTimeout
// says.
func (g *identity) initialise(ctx context.Context, store storage.Store) (err error) {
	s := g.now.Load()
	if done, err := g.initialised(ctx, store, s); done || err != nil {
		return err
	}
	g.say("waiting for the database lock")
	unlock, err := store.Lock(ctx, bootLock, s.lockWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	g.say("preparing the database")
	accounts := authentication.NewAccounts(store, g.hasher, g.Clock, g.logger("server.authentication"))
	options := realmfile.Options{Strategy: realmfile.IgnoreExisting, Master: s.master, Hash: func(ctx context.Context, realm *model.Realm, password string) (model.Credential, error) {
		return accounts.NewPassword(ctx, realm, password, false)
	}}
	if err := g.master(ctx, store, s, options.Hash); err != nil {
		return err
	}
	return g.importFiles(ctx, store, s, options)
}

// initialised reports whether there is nothing to do, without taking the lock:
// the usual boot, which is to be quick. Files are looked at by the import.
func (g *identity) initialised(ctx context.Context, store storage.Store, s *settings) (done bool, err error) {
	if len(s.imports) > 0 {
		return false, nil
	}
	done, err = realmfile.HasAdmin(ctx, store, s.master)
	if problem.Is(err, problem.NotFound) {
		return false, nil // not even a master realm
	}
	return done || s.admin.user == "", err
}

// master makes the master realm and the configured administrator, each where
// there is none yet. One that exists is left alone, whatever its password: the
// configuration is for the first boot.
func (g *identity) master(ctx context.Context, store storage.Store, s *settings, hash realmfile.HashPassword) error {
	admin := realmfile.Admin{Realm: s.master}
	if s.admin.user != "" && s.admin.password != "" {
		admin.Username, admin.Password = s.admin.user, s.admin.password
	}
	created, err := realmfile.CreateMaster(ctx, store, admin, hash)
	if err != nil {
		return problem.Internal.Errorf("cannot create the master realm: %w", err)
	}
	if !created && admin.Username != "" {
		if err = realmfile.CreateAdmin(ctx, store, admin, hash); problem.Is(err, problem.Conflict) {
			return nil
		}
	}
	if err == nil && admin.Username != "" {
		g.Log.Info().Str("user", admin.Username).Msg("created the first administrator")
	}
	return err
}

var strategies = map[string]realmfile.Strategy{
	"ignore-existing": realmfile.IgnoreExisting, "overwrite": realmfile.Overwrite, "fail": realmfile.Fail,
}

// importFiles imports the configured realm files, each whole or not at all.
func (g *identity) importFiles(ctx context.Context, store storage.Store, s *settings, options realmfile.Options) error {
	options.Strategy = strategies[s.strategy]
	for _, file := range s.imports {
		g.say("importing " + file)
		text, err := os.ReadFile(file)
		if err != nil {
			return problem.Invalid.Errorf("cannot import a realm: %w", err)
		}
		report, err := realmfile.Import(ctx, store, text, options)
		if err != nil {
			return problem.Invalid.Errorf("cannot import %s: %w", file, err)
		}
		for _, realm := range report.Realms {
			g.imported = g.imported || !realm.Ignored
		}
		for _, line := range report.Lines() {
			g.Log.Info().Str("file", file).Msg(line)
		}
	}
	return nil
}
