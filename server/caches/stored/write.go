package stored

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// recorder notes what one Update changes. Inside it everything goes to the
// store behind: it must see its own writes and show them to nobody.
type recorder struct {
	seen map[change]bool
	all  bool
}

func (r *recorder) note(c change) { r.seen[c] = true }

// deleted notes what a deletion of that kind may change besides: a role that is
// gone is gone from everything that named it.
func (r *recorder) deleted(k kind, realm string) {
	switch k {
	case realms:
		r.all = true
	case clients, roles, groups:
		for _, touched := range []kind{clients, roles, groups, users} {
			r.note(change{Kind: touched, Realm: realm})
		}
		r.note(change{Kind: realms})
	}
}

func (r *recorder) event() event {
	e := event{All: r.all}
	for c := range r.seen {
		e.Changes = append(e.Changes, c)
	}
	return e
}

func (r *recorder) writer(tx storage.Tx) storage.Tx {
	return storage.Tx{
		Realms:       writing[*model.Realm]{tx.Realms, r, realms},
		Clients:      writing[*model.Client]{tx.Clients, r, clients},
		ClientScopes: writing[*model.ClientScope]{tx.ClientScopes, r, clientScopes},
		Roles:        writing[*model.Role]{tx.Roles, r, roles},
		Groups:       writing[*model.Group]{tx.Groups, r, groups},
		Flows:        writing[*model.Flow]{tx.Flows, r, flows},
		Components:   writing[*model.Component]{tx.Components, r, components},
		Users:        writingUsers{tx.Users, r},
		UserSearch:   tx.UserSearch,
	}
}

// writing is a storage.Documents in an Update.
type writing[T model.Noun] struct {
	storage.Documents[T]
	r    *recorder
	kind kind
}

func (w writing[T]) Create(ctx context.Context, realm string, doc T) error {
	w.r.note(change{Kind: w.kind, Realm: realm})
	return w.Documents.Create(ctx, realm, doc)
}

func (w writing[T]) Update(ctx context.Context, realm string, doc T) error {
	w.r.note(change{Kind: w.kind, Realm: realm})
	return w.Documents.Update(ctx, realm, doc)
}

func (w writing[T]) Delete(ctx context.Context, realm, id string) error {
	w.r.note(change{Kind: w.kind, Realm: realm})
	w.r.deleted(w.kind, realm)
	return w.Documents.Delete(ctx, realm, id)
}

// writingUsers is a storage.Users in an Update.
type writingUsers struct {
	storage.Users
	r *recorder
}

func (w writingUsers) Create(ctx context.Context, realm string, user *model.User) error {
	err := w.Users.Create(ctx, realm, user) // gives it its id
	w.r.note(change{Kind: users, Realm: realm, ID: user.ID})
	return err
}

func (w writingUsers) Update(ctx context.Context, realm string, user *model.User) error {
	w.r.note(change{Kind: users, Realm: realm, ID: user.ID})
	return w.Users.Update(ctx, realm, user)
}

func (w writingUsers) Delete(ctx context.Context, realm, id string) error {
	w.r.note(change{Kind: users, Realm: realm, ID: id})
	return w.Users.Delete(ctx, realm, id)
}
