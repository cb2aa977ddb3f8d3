// Package realmfile reads and writes realm files, Keycloak's export format of
// versions 3 to 26, without losing anything: what Gatehouse does not act on is
// kept, reported and written again. It must not know SQL, HTTP or how passwords
// are hashed.
package realmfile

import (
	"context"
	"crypto/rand"
	"slices"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Strategy says what an import does with a realm that exists.
type Strategy int

// The strategies.
const (
	IgnoreExisting Strategy = iota // leave the realm as it is, and say so
	Overwrite                      // replace the realm with all that is in it, sessions too
	Fail                           // refuse the whole import
)

// HashPassword makes the stored form of a clear-text password, by the realm's
// policy.
type HashPassword func(ctx context.Context, realm *model.Realm, password string) (model.Credential, error)

// Options are an import's settings.
type Options struct {
	Strategy Strategy
	// Hash turns passwords that a file has in clear text into hashes: the one thing
	// that is not kept as it was. Without it they are kept, and reported.
	Hash HashPassword
	// Master is the name of the realm whose administrators manage all realms; "" is
	// model.Master.
	Master string
}

// Import stores the realms of a file: one realm, a list of realms, or a list of
// realms and users files. All of it is stored in one transaction, or nothing.
// The report says what was done and what is kept but not acted on yet.
func Import(ctx context.Context, store storage.Store, data []byte, o Options) (Report, error) {
	contents, err := Read(data)
	if err != nil {
		return Report{}, err
	}
	return Store(ctx, store, contents, o)
}

// Store is Import for contents that were read already.
func Store(ctx context.Context, store storage.Store, contents []*model.Contents, o Options) (Report, error) {
	reports := make([]RealmReport, len(contents))
	for i, c := range contents {
		if slices.ContainsFunc(contents[:i], func(other *model.Contents) bool { return other.Realm.Name == c.Realm.Name }) {
			return Report{}, problem.Invalid.Errorf("cannot import: the file has realm %q twice", c.Realm.Name)
		}
		reports[i] = RealmReport{Realm: c.Realm.Name}
		if skip, err := ignored(ctx, store, c, o); skip || err != nil {
			reports[i].Ignored = true
			if err != nil {
				return Report{}, err
			}
			continue
		}
		if err := prepare(ctx, c, o, &reports[i]); err != nil {
			return Report{}, err
		}
	}
	err := store.Update(ctx, func(tx storage.Tx) error {
		for i, c := range contents {
			if reports[i].Ignored {
				continue
			}
			if err := makeRoom(ctx, tx, c, o); err != nil {
				return err
			}
			if err := create(ctx, tx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Report{}, err
	}
	return Report{Realms: reports}, nil
}

func ignored(ctx context.Context, store storage.Store, c *model.Contents, o Options) (skip bool, err error) {
	if o.Strategy != IgnoreExisting {
		return false, nil
	}
	err = store.View(ctx, func(tx storage.Tx) error {
		_, err := tx.Realms.ByName(ctx, "", "", c.Realm.Name)
		skip = err == nil
		if problem.Is(err, problem.NotFound) {
			return nil
		}
		return err
	})
	return skip, err
}

// prepare makes contents fit to be stored, before the transaction: hashing
// takes long.
func prepare(ctx context.Context, c *model.Contents, o Options, report *RealmReport) error {
	if err := c.AddDefaults(generate(o.Master)); err != nil {
		return err
	}
	if err := resolveRoles(c); err != nil {
		return err
	}
	number(c)
	if err := c.Check(); err != nil {
		return err
	}
	clear := 0
	for _, user := range c.Users {
		for i := range user.Credentials {
			was := &user.Credentials[i]
			if was.Type != "password" || was.Value == "" {
				continue
			}
			if o.Hash == nil {
				clear++
				continue
			}
			hashed, err := o.Hash(ctx, c.Realm, was.Value)
			if err != nil {
				return err
			}
			was.Value = ""
			was.CredentialData, was.SecretData = hashed.CredentialData, hashed.SecretData
		}
	}
	report.count(c, clear)
	return nil
}

func generate(master string) model.Generate {
	return model.Generate{Master: master, ID: uuid.NewString, Secret: func() string { return rand.Text() + rand.Text()[:6] }}
}

// makeRoom deals with a realm of the same name.
func makeRoom(ctx context.Context, tx storage.Tx, c *model.Contents, o Options) error {
	have, err := tx.Realms.ByName(ctx, "", "", c.Realm.Name)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil
	case err != nil:
		return err
	case o.Strategy == Overwrite:
		return tx.Realms.Delete(ctx, "", have.ID)
	}
	return problem.Conflict.Errorf("cannot import realm %q: it exists", c.Realm.Name)
}

func create(ctx context.Context, tx storage.Tx, c *model.Contents) error {
	if err := tx.Realms.Create(ctx, "", c.Realm); err != nil {
		return err
	}
	realm := c.Realm.ID
	if err := createAll(ctx, tx.Clients, realm, c.Clients); err != nil {
		return err
	}
	if err := createAll(ctx, tx.ClientScopes, realm, c.ClientScopes); err != nil {
		return err
	}
	if err := createAll(ctx, tx.Roles, realm, c.Roles); err != nil {
		return err
	}
	if err := createAll(ctx, tx.Groups, realm, c.Groups); err != nil {
		return err
	}
	if err := createAll(ctx, tx.Flows, realm, c.Flows); err != nil {
		return err
	}
	if err := createAll(ctx, tx.Components, realm, c.Components); err != nil {
		return err
	}
	for _, user := range c.Users {
		if err := tx.Users.Create(ctx, realm, user); err != nil {
			return err
		}
	}
	return nil
}

func createAll[T model.Noun](ctx context.Context, documents storage.Documents[T], realm string, nouns []T) error {
	for _, noun := range nouns {
		if err := documents.Create(ctx, realm, noun); err != nil {
			return err
		}
	}
	return nil
}
