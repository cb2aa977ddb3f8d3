package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func (s *Store) tx(r runner) storage.Tx {
	c := conn{r, s}
	return storage.Tx{
		Realms:       documents[model.Realm, *model.Realm]{c, realms},
		Clients:      documents[model.Client, *model.Client]{c, clients},
		ClientScopes: documents[model.ClientScope, *model.ClientScope]{c, clientScopes},
		Roles:        documents[model.Role, *model.Role]{c, roles},
		Groups:       documents[model.Group, *model.Group]{c, groups},
		Flows:        documents[model.Flow, *model.Flow]{c, flows},
		Components:   documents[model.Component, *model.Component]{c, components},
		Users:        users{c},
		UserSearch:   userSearch{c},
	}
}

type table struct {
	name string
	noun string // for messages
}

var (
	realms       = table{"realm", "realm"}
	clients      = table{"client", "client"}
	clientScopes = table{"client_scope", "client scope"}
	roles        = table{"role", "role"}
	groups       = table{"user_group", "group"}
	flows        = table{"flow", "flow"}
	components   = table{"component", "component"}
)

// documents keeps the nouns of one table.
type documents[E any, P interface {
	*E
	model.Noun
}] struct {
	c conn
	t table
}

const columns = "parent, kind, position, version, section, added, doc"

func scanDocument[E any, P interface {
	*E
	model.Noun
}](scan func(...any) error) (P, error) {
	var (
		m     model.Meta
		added int
		doc   []byte
		noun  = P(new(E))
	)
	if err := scan(&m.Parent, &m.Kind, &m.Position, &m.Version, &m.Section, &added, &doc); err != nil {
		return nil, err
	}
	m.Added = added != 0
	if err := json.Unmarshal(doc, noun); err != nil {
		return nil, err
	}
	noun.Stored().Meta = m
	return noun, nil
}

func (d documents[E, P]) one(ctx context.Context, what, where string, args ...any) (P, error) {
	if unspeakable(args...) {
		return nil, problem.NotFound.Errorf("cannot find %s %q", d.t.noun, what)
	}
	row := d.c.QueryRowContext(ctx, d.c.s.cfg.Dialect.bind("SELECT "+columns+" FROM "+d.t.name+" WHERE "+where), args...)
	noun, err := scanDocument[E, P](row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.NotFound.Errorf("cannot find %s %q", d.t.noun, what)
	}
	return noun, d.c.s.explain(err)
}

func (d documents[E, P]) Get(ctx context.Context, realm, id string) (P, error) {
	return d.one(ctx, id, "realm = ? AND id = ?", realm, id)
}

func (d documents[E, P]) ByName(ctx context.Context, realm, parent, name string) (P, error) {
	return d.one(ctx, name, "realm = ? AND parent = ? AND name = ? ORDER BY position, id LIMIT 1", realm, parent, name)
}

func (d documents[E, P]) List(ctx context.Context, realm string, q storage.Query) ([]P, error) {
	where, args := "realm = ?", []any{realm}
	if q.Parent != nil {
		where, args = where+" AND parent = ?", append(args, *q.Parent)
	}
	if q.Kind != "" {
		where, args = where+" AND kind = ?", append(args, q.Kind)
	}
	if q.Search != "" {
		where, args = where+` AND LOWER(name) LIKE ? ESCAPE '\'`, append(args, contains(q.Search))
	}
	page, pageArgs := limit(q.First, q.Max)
	found := []P{}
	err := d.c.rows(ctx, "SELECT "+columns+" FROM "+d.t.name+" WHERE "+where+" ORDER BY position, id"+page, append(args, pageArgs...),
		func(rows *sql.Rows) error {
			noun, err := scanDocument[E, P](rows.Scan)
			found = append(found, noun)
			return err
		})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (d documents[E, P]) Create(ctx context.Context, realm string, doc P) error {
	id, name := doc.Ident()
	if id == "" {
		fresh, err := newID()
		if err != nil {
			return err
		}
		id = fresh
		doc.SetID(id)
	}
	if err := errors.Join(speakable("id", id), speakable("name", name)); err != nil {
		return err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	m := &doc.Stored().Meta
	position, args := "?", []any{realm, id, m.Parent, name, kindOf(doc), m.Position}
	if m.Position == 0 {
		position, args[5] = "COALESCE((SELECT MAX(position) FROM "+d.t.name+" WHERE realm = ?), 0) + 1", realm
	}
	args = append(args, m.Section, flag(m.Added), string(text))
	err = d.c.row(ctx, "INSERT INTO "+d.t.name+" (realm, id, parent, name, kind, position, version, section, added, doc) VALUES (?, ?, ?, ?, ?, "+
		position+", 1, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING position", args, &m.Position)
	if errors.Is(err, sql.ErrNoRows) {
		return problem.Conflict.Errorf("cannot create %s %q: the name or the id %q is taken", d.t.noun, name, id)
	}
	if err == nil {
		m.Version = 1
	}
	return err
}

func (d documents[E, P]) Update(ctx context.Context, realm string, doc P) error {
	id, name := doc.Ident()
	if err := speakable("name", name); err != nil {
		return err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	m := &doc.Stored().Meta
	old, err := d.Get(ctx, realm, id)
	if err != nil {
		return err
	}
	if err := d.nameIsFree(ctx, realm, old, doc); err != nil {
		return err
	}
	n, err := d.c.exec(ctx, "UPDATE "+d.t.name+" SET parent = ?, name = ?, kind = ?, position = ?, section = ?, added = ?, doc = ?, version = version + 1 WHERE realm = ? AND id = ? AND version = ?",
		m.Parent, name, kindOf(doc), m.Position, m.Section, flag(m.Added), string(text), realm, id, m.Version)
	if err != nil {
		return err
	}
	if n == 0 {
		return problem.Conflict.Errorf("cannot update %s %q: it has changed since it was read; read it again", d.t.noun, name)
	}
	m.Version++
	return nil
}

// nameIsFree asks before the constraint does: on some databases a violated
// constraint ends the transaction.
func (d documents[E, P]) nameIsFree(ctx context.Context, realm string, old, doc P) error {
	id, name := doc.Ident()
	_, oldName := old.Ident()
	if d.t == components || name == oldName && doc.Stored().Parent == old.Stored().Parent {
		return nil
	}
	var other string
	err := d.c.row(ctx, "SELECT id FROM "+d.t.name+" WHERE realm = ? AND parent = ? AND name = ? AND id <> ?",
		[]any{realm, doc.Stored().Parent, name, id}, &other)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return problem.Conflict.Errorf("cannot rename %s %q to %q: the name is taken", d.t.noun, oldName, name)
}

func (d documents[E, P]) Delete(ctx context.Context, realm, id string) error {
	old, err := d.Get(ctx, realm, id)
	if err != nil {
		return err
	}
	if _, err := d.c.exec(ctx, "DELETE FROM "+d.t.name+" WHERE realm = ? AND id = ?", realm, id); err != nil {
		return err
	}
	return d.c.cascade(ctx, realm, old)
}

// kindOf is the kind column: the provider type of a component; for a realm
// whether addresses may be several users'.
func kindOf(doc model.Noun) string {
	kind := doc.Stored().Kind
	switch noun := doc.(type) {
	case *model.Component:
		if kind == "" {
			kind = noun.ProviderType
		}
	case *model.Realm:
		kind = ""
		if noun.DuplicateEmailsAllowed {
			kind = duplicateEmails
		}
	}
	doc.Stored().Kind = kind
	return kind
}

const duplicateEmails = "duplicate-emails"

// inList is "(?, ?, ?)" for n values.
func inList(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")" }
