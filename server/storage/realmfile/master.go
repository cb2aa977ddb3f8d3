package realmfile

import (
	"cmp"
	"context"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Admin is the first administrator.
type Admin struct {
	Username string // "" makes none: one is created later, in the browser
	Password string
	Realm    string // the master realm's name; "" is model.Master
}

func (a Admin) realm() string { return cmp.Or(a.Realm, model.Master) }

// CreateMaster makes the master realm, with the first administrator if there is
// to be one. created is false when the realm exists; it is then as it was.
func CreateMaster(ctx context.Context, store storage.Store, admin Admin, hash HashPassword) (created bool, err error) {
	lifespan := 60 // seconds, of an administrator's access token: Keycloak's master realm is that careful
	c := &model.Contents{Realm: &model.Realm{Name: admin.realm(), DisplayName: "Gatehouse", Enabled: true, SSLRequired: "external", AccessTokenLifespan: lifespan}}
	// Hashing a password takes longer than the rest of a start: not for nothing.
	if there, err := ignored(ctx, store, c, Options{Strategy: IgnoreExisting, Master: admin.Realm}); there || err != nil {
		return false, err
	}
	if admin.Username != "" {
		user := &model.User{Username: admin.Username, Enabled: true, RealmRoles: []string{defaultRoles(c.Realm), "admin"}}
		if user.Credentials, err = credentials(ctx, c.Realm, admin.Password, hash); err != nil {
			return false, err
		}
		c.Users = append(c.Users, user)
	}
	report, err := Store(ctx, store, []*model.Contents{c}, Options{Strategy: IgnoreExisting, Master: admin.Realm})
	if problem.Is(err, problem.Conflict) {
		return false, nil // another server made it meanwhile
	}
	return err == nil && !report.Realms[0].Ignored, err
}

// defaultRoles is the role that every user of a realm has.
func defaultRoles(realm *model.Realm) string { return "default-roles-" + strings.ToLower(realm.Name) }

// HasAdmin reports whether the master realm, called realm, has a user with the
// role admin.
func HasAdmin(ctx context.Context, store storage.Store, realm string) (found bool, err error) {
	err = store.View(ctx, func(tx storage.Tx) error {
		master, err := tx.Realms.ByName(ctx, "", "", realm)
		if err != nil {
			return err
		}
		n, err := tx.UserSearch.Count(ctx, master.ID, storage.UserQuery{RealmRole: "admin"})
		found = n > 0
		return err
	})
	return found, err
}

// CreateAdmin adds an administrator to the master realm. It is a Conflict if
// there is one already: the first administrator is made once.
func CreateAdmin(ctx context.Context, store storage.Store, admin Admin, hash HashPassword) error {
	if admin.Username == "" || admin.Password == "" {
		return problem.Invalid.Errorf("cannot create the administrator: a username and a password are needed")
	}
	var master *model.Realm
	if err := store.View(ctx, func(tx storage.Tx) (err error) { // before the hash, which takes longest
		if master, err = tx.Realms.ByName(ctx, "", "", admin.realm()); err != nil {
			return err
		}
		return noAdmin(ctx, tx, master)
	}); err != nil {
		return err
	}
	made, err := credentials(ctx, master, admin.Password, hash)
	if err != nil {
		return err
	}
	return store.Update(ctx, func(tx storage.Tx) error {
		if err := noAdmin(ctx, tx, master); err != nil {
			return err
		}
		user := &model.User{Username: admin.Username, Enabled: true, RealmRoles: []string{defaultRoles(master), "admin"}, Credentials: made}
		return tx.Users.Create(ctx, master.ID, user)
	})
}

// noAdmin refuses a master realm that has an administrator.
func noAdmin(ctx context.Context, tx storage.Tx, master *model.Realm) error {
	n, err := tx.UserSearch.Count(ctx, master.ID, storage.UserQuery{RealmRole: "admin"})
	if err == nil && n > 0 {
		err = problem.Conflict.Errorf("cannot create the administrator: there is one already")
	}
	return err
}

func credentials(ctx context.Context, realm *model.Realm, password string, hash HashPassword) ([]model.Credential, error) {
	if hash == nil {
		return nil, problem.Internal.Errorf("cannot create the administrator: no password hash was given")
	}
	credential, err := hash(ctx, realm, password)
	if err != nil {
		return nil, err
	}
	credential.Type = "password"
	return []model.Credential{credential}, nil
}
