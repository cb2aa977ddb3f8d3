package boot

import (
	"context"
	"errors"
	"os"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

// masterRealm administers all realms; its role adminRole may everything.
const (
	masterRealm = "master"
	adminRole   = "admin"
)

// bootLock serializes start-up: of any number of servers that boot at once one
// prepares the database, and the others find it prepared.
const bootLock = "boot"

// open opens the server's database; drivers bring its schema up to date, one
// server at a time.
func (g *identity) open(ctx context.Context) (storage.Store, error) {
	s := g.now.Load()
	o := storage.Options{
		Clock: g.Clock, Log: g.Log, Holder: g.nodeName, MaxConns: s.database.maxConns,
		SweepEvery: s.sweepEvery, LockRecheck: s.lockAgain,
	}
	if s.database.driver == "postgresql" {
		return asStore(postgres.Open(ctx, s.database.url(), o))
	}
	return asStore(sqlite.Open(ctx, s.database.address, o))
}

// asStore keeps a failed driver from becoming a store that is not nil.
func asStore[S storage.Store](store S, err error) (storage.Store, error) {
	if err != nil {
		return nil, err
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
	accounts := authentication.NewAccounts(store, g.hasher, g.Clock, g.Log)
	options := realmfile.Options{Strategy: realmfile.IgnoreExisting, Hash: func(ctx context.Context, realm *model.Realm, password string) (model.Credential, error) {
		return accounts.NewPassword(ctx, realm, password, false)
	}}
	if _, err := realmfile.Import(ctx, store, []byte(`{"realm":"`+masterRealm+`","enabled":true}`), options); err != nil {
		return problem.Internal.Errorf("cannot create the master realm: %w", err)
	}
	if err := g.firstAdministrator(ctx, store, accounts, s.admin); err != nil {
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
	err = store.View(ctx, func(tx storage.Tx) error {
		master, err := tx.Realms.ByName(ctx, "", "", masterRealm)
		if err != nil {
			return err
		}
		if s.admin.user == "" {
			done = true
			return nil
		}
		n, err := tx.UserSearch.Count(ctx, master.ID, storage.UserQuery{RealmRole: adminRole})
		done = n > 0
		return err
	})
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	return done, err
}

// firstAdministrator makes the configured administrator where there is none
// yet. One that exists is left alone, whatever its password: the configuration
// is for the first boot.
func (g *identity) firstAdministrator(ctx context.Context, store storage.Store, accounts *authentication.Accounts, first administrator) error {
	if first.user == "" || first.password == "" {
		return nil
	}
	var master *model.Realm
	var admins int
	err := store.View(ctx, func(tx storage.Tx) (err error) {
		if master, err = tx.Realms.ByName(ctx, "", "", masterRealm); err != nil {
			return err
		}
		admins, err = tx.UserSearch.Count(ctx, master.ID, storage.UserQuery{RealmRole: adminRole})
		return err
	})
	if err != nil || admins > 0 {
		return err
	}
	credential, err := accounts.NewPassword(ctx, master, first.password, false)
	if err != nil {
		return err
	}
	roles := []string{adminRole}
	if master.DefaultRole != nil {
		roles = append(roles, master.DefaultRole.Name)
	}
	err = store.Update(ctx, func(tx storage.Tx) error {
		return tx.Users.Create(ctx, master.ID, &model.User{
			Username: first.user, Enabled: true, CreatedTimestamp: g.Clock.Now().UnixMilli(),
			Credentials: []model.Credential{credential}, RealmRoles: roles,
		})
	})
	if err != nil {
		return problem.Internal.Errorf("cannot create the first administrator %q: %w", first.user, err)
	}
	g.Log.Info().Str("user", first.user).Msg("created the first administrator")
	return nil
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
		for _, line := range report.Lines() {
			g.Log.Info().Str("file", file).Msg(line)
		}
	}
	return nil
}
