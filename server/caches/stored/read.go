package stored

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// reading is a storage.Documents outside an Update.
type reading[T model.Noun] struct {
	s    *Store
	kind kind
	of   func(storage.Tx) storage.Documents[T]
}

// noun gives what memory has under k.
func (s *Store) noun(k key) (any, bool) {
	return find(s.nouns, k, s.generation(change{Kind: k.kind, Realm: k.realm}))
}

// keep loads what belongs under k and keeps it. Errors, NotFound too, are not
// kept: names come from strangers.
func keep[V any](ctx context.Context, s *Store, k key, load func(storage.Tx) (V, error)) (V, error) {
	generation := s.generation(change{Kind: k.kind, Realm: k.realm}) // of before the load
	v, err := behind(ctx, s, load)
	if err == nil {
		set(s.nouns, k, entry{v, generation})
	}
	return v, err
}

// behind reads from the store behind the cache.
func behind[V any](ctx context.Context, s *Store, load func(storage.Tx) (V, error)) (v V, err error) {
	err = s.Store.View(ctx, func(tx storage.Tx) (err error) {
		v, err = load(tx)
		return err
	})
	return v, err
}

func (d reading[T]) Get(ctx context.Context, realm, id string) (T, error) {
	k := key{d.kind, byID, realm, "", id}
	if v, ok := d.s.noun(k); ok {
		return v.(T), nil
	}
	return keep(ctx, d.s, k, func(tx storage.Tx) (T, error) { return d.of(tx).Get(ctx, realm, id) })
}

func (d reading[T]) ByName(ctx context.Context, realm, parent, name string) (T, error) {
	k := key{d.kind, byName, realm, parent, name}
	if v, ok := d.s.noun(k); ok {
		return v.(T), nil
	}
	return keep(ctx, d.s, k, func(tx storage.Tx) (T, error) {
		return d.of(tx).ByName(ctx, realm, parent, name)
	})
}

func (d reading[T]) List(ctx context.Context, realm string, q storage.Query) ([]T, error) {
	load := func(tx storage.Tx) ([]T, error) { return d.of(tx).List(ctx, realm, q) }
	if q.Search != "" || q.First != 0 || q.Max != 0 {
		return behind(ctx, d.s, load)
	}
	k := key{d.kind, listOfAll, realm, "", q.Kind}
	if q.Parent != nil {
		k.by, k.parent = listOfChildren, *q.Parent
	}
	if v, ok := d.s.noun(k); ok {
		return slices.Clone(v.([]T)), nil
	}
	list, err := keep(ctx, d.s, k, load)
	return slices.Clone(list), err // the nouns are shared, the list is the caller's
}

var errReadOnly = problem.Internal.Errorf("cannot write in a View: use Update")

func (reading[T]) Create(context.Context, string, T) error      { return errReadOnly }
func (reading[T]) Update(context.Context, string, T) error      { return errReadOnly }
func (reading[T]) Delete(context.Context, string, string) error { return errReadOnly }

// readingUsers is a storage.Users outside an Update. A username leads to an id,
// and what is kept under the id says whether it still does.
type readingUsers struct{ s *Store }

func (u readingUsers) Get(ctx context.Context, realm, id string) (*model.User, error) {
	generation := u.generation(realm, id)
	k := key{kind: users, by: byID, realm: realm, name: id}
	if v, ok := find(u.s.users, k, generation); ok {
		return v.(*model.User), nil
	}
	user, err := behind(ctx, u.s, func(tx storage.Tx) (*model.User, error) { return tx.Users.Get(ctx, realm, id) })
	if err == nil {
		set(u.s.users, k, entry{user, generation})
	}
	return user, err
}

// generation grows with changes of the user and with those of all users of the
// realm.
func (u readingUsers) generation(realm, id string) uint64 {
	return u.s.slot(change{Kind: users, Realm: realm, ID: id}).Load() + u.s.generation(change{Kind: users, Realm: realm})
}

func (u readingUsers) ByUsername(ctx context.Context, realm, username string) (*model.User, error) {
	lower := strings.ToLower(username)
	k := key{kind: users, by: byName, realm: realm, name: lower}
	if id, ok := find(u.s.users, k, 0); ok {
		user, err := u.Get(ctx, realm, id.(string))
		if err == nil && strings.ToLower(user.Username) == lower {
			return user, nil
		}
	}
	user, err := behind(ctx, u.s, func(tx storage.Tx) (*model.User, error) { return tx.Users.ByUsername(ctx, realm, username) })
	if err == nil {
		set(u.s.users, k, entry{value: user.ID})
	}
	return user, err
}

func (u readingUsers) ByEmail(ctx context.Context, realm, email string) (*model.User, error) {
	return behind(ctx, u.s, func(tx storage.Tx) (*model.User, error) { return tx.Users.ByEmail(ctx, realm, email) })
}

func (readingUsers) Create(context.Context, string, *model.User) error { return errReadOnly }
func (readingUsers) Update(context.Context, string, *model.User) error { return errReadOnly }
func (readingUsers) Delete(context.Context, string, string) error      { return errReadOnly }

// readingSearch finds users in the store behind.
type readingSearch struct{ s *Store }

func (u readingSearch) Search(ctx context.Context, realm string, q storage.UserQuery) ([]*model.User, error) {
	return behind(ctx, u.s, func(tx storage.Tx) ([]*model.User, error) { return tx.UserSearch.Search(ctx, realm, q) })
}

func (u readingSearch) Count(ctx context.Context, realm string, q storage.UserQuery) (int, error) {
	return behind(ctx, u.s, func(tx storage.Tx) (int, error) { return tx.UserSearch.Count(ctx, realm, q) })
}
