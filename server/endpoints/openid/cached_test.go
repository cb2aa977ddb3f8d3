package openid_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// memo keeps every reading of a store that nobody changes: what the caching
// decorator is for a benchmark.
type memo struct {
	storage.Store
	kept sync.Map
}

func cached(s storage.Store) storage.Store { return &memo{Store: s} }

func (m *memo) View(ctx context.Context, fn func(storage.Tx) error) error {
	return fn(storage.Tx{
		Realms: memoDocs[*model.Realm]{m, "r", func(t storage.Tx) storage.Documents[*model.Realm] { return t.Realms }}, Clients: memoDocs[*model.Client]{m, "c", func(t storage.Tx) storage.Documents[*model.Client] { return t.Clients }},
		ClientScopes: memoDocs[*model.ClientScope]{m, "s", func(t storage.Tx) storage.Documents[*model.ClientScope] { return t.ClientScopes }}, Roles: memoDocs[*model.Role]{m, "o", func(t storage.Tx) storage.Documents[*model.Role] { return t.Roles }},
		Groups: memoDocs[*model.Group]{m, "g", func(t storage.Tx) storage.Documents[*model.Group] { return t.Groups }}, Components: memoDocs[*model.Component]{m, "k", func(t storage.Tx) storage.Documents[*model.Component] { return t.Components }},
		Flows: memoDocs[*model.Flow]{m, "f", func(t storage.Tx) storage.Documents[*model.Flow] { return t.Flows }}, Users: memoUsers{m: m},
	})
}

func (m *memo) Update(ctx context.Context, fn func(storage.Tx) error) error {
	m.kept.Clear()
	return m.Store.Update(ctx, fn)
}

type memoKey struct{ kind, op, realm, parent, name string }

type kept[T any] struct {
	v   T
	err error
}

func remember[T any](m *memo, k memoKey, f func() (T, error)) (T, error) {
	if v, ok := m.kept.Load(k); ok {
		return v.(kept[T]).v, v.(kept[T]).err
	}
	v, err := f()
	m.kept.Store(k, kept[T]{v, err})
	return v, err
}

type memoDocs[T model.Noun] struct {
	m    *memo
	kind string
	of   func(storage.Tx) storage.Documents[T]
}

func read[T any](ctx context.Context, m *memo, f func(storage.Tx) (T, error)) (v T, err error) {
	err = m.Store.View(ctx, func(tx storage.Tx) error { v, err = f(tx); return err })
	return v, err
}

func (d memoDocs[T]) Get(ctx context.Context, realm, id string) (T, error) {
	return remember(d.m, memoKey{d.kind, "get", realm, "", id}, func() (T, error) {
		return read(ctx, d.m, func(tx storage.Tx) (T, error) { return d.of(tx).Get(ctx, realm, id) })
	})
}

func (d memoDocs[T]) ByName(ctx context.Context, realm, parent, name string) (T, error) {
	return remember(d.m, memoKey{d.kind, "name", realm, parent, name}, func() (T, error) {
		return read(ctx, d.m, func(tx storage.Tx) (T, error) { return d.of(tx).ByName(ctx, realm, parent, name) })
	})
}

func (d memoDocs[T]) List(ctx context.Context, realm string, q storage.Query) ([]T, error) {
	return remember(d.m, memoKey{d.kind, "list", realm, q.Kind, fmt.Sprint(q.Parent)}, func() ([]T, error) {
		return read(ctx, d.m, func(tx storage.Tx) ([]T, error) { return d.of(tx).List(ctx, realm, q) })
	})
}
func (d memoDocs[T]) Create(context.Context, string, T) error      { panic("view") }
func (d memoDocs[T]) Update(context.Context, string, T) error      { panic("view") }
func (d memoDocs[T]) Delete(context.Context, string, string) error { panic("view") }

type memoUsers struct {
	storage.Users
	m *memo
}

func (u memoUsers) Get(ctx context.Context, realm, id string) (*model.User, error) {
	return remember(u.m, memoKey{"u", "get", realm, "", id}, func() (*model.User, error) {
		return read(ctx, u.m, func(tx storage.Tx) (*model.User, error) { return tx.Users.Get(ctx, realm, id) })
	})
}

func (u memoUsers) ByUsername(ctx context.Context, realm, id string) (*model.User, error) {
	return remember(u.m, memoKey{"u", "name", realm, "", id}, func() (*model.User, error) {
		return read(ctx, u.m, func(tx storage.Tx) (*model.User, error) { return tx.Users.ByUsername(ctx, realm, id) })
	})
}

func (u memoUsers) ByEmail(ctx context.Context, realm, id string) (*model.User, error) {
	return read(ctx, u.m, func(tx storage.Tx) (*model.User, error) { return tx.Users.ByEmail(ctx, realm, id) })
}
