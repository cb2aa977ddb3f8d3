package relational

import (
	"context"
	"database/sql"
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// userSearch is the storage.UserSearch of a connection.
type userSearch struct{ c conn }

func (u userSearch) Search(ctx context.Context, realm string, q storage.UserQuery) ([]*model.User, error) {
	where, args := conditions(realm, q)
	order := "username"
	if q.InFileOrder {
		order = "position, id"
	}
	page, pageArgs := limit(q.First, q.Max)
	found := []*model.User{}
	err := u.c.rows(ctx, "SELECT "+userColumns+" FROM users WHERE "+where+" ORDER BY "+order+page, append(args, pageArgs...), func(rows *sql.Rows) error {
		user, err := scanUser(rows.Scan)
		found = append(found, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (u userSearch) Count(ctx context.Context, realm string, q storage.UserQuery) (n int, err error) {
	where, args := conditions(realm, q)
	err = u.c.row(ctx, "SELECT COUNT(*) FROM users WHERE "+where, args, &n)
	return n, err
}

// conditions is the WHERE of a query. Zero bytes in it match nothing.
func conditions(realm string, q storage.UserQuery) (string, []any) {
	where, args := []string{"realm = ?"}, []any{realm}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	text := func(column, value string) {
		switch {
		case value == "":
		case unspeakable(value):
			add("1 = 0")
		case q.Exact:
			add(column+" = ?", strings.ToLower(value))
		default:
			add(column+` LIKE ? ESCAPE '\'`, contains(value))
		}
	}
	text("username", q.Username)
	text("email", q.Email)
	text("first_name", q.FirstName)
	text("last_name", q.LastName)
	for _, word := range strings.Fields(strings.ReplaceAll(strings.ToValidUTF8(q.Search, "\uFFFD"), "\x00", "\uFFFD")) {
		pattern := contains(word)
		add(`(username LIKE ? ESCAPE '\' OR email LIKE ? ESCAPE '\' OR first_name LIKE ? ESCAPE '\' OR last_name LIKE ? ESCAPE '\')`,
			pattern, pattern, pattern, pattern)
	}
	if q.Enabled != nil {
		add("enabled = ?", flag(*q.Enabled))
	}
	if q.EmailVerified != nil {
		add("email_verified = ?", flag(*q.EmailVerified))
	}
	switch {
	case unspeakable(q.ServiceAccountOf):
		add("1 = 0")
	case q.ServiceAccountOf != "":
		add("service_client = ?", q.ServiceAccountOf)
	case !q.ServiceAccounts:
		add("service_client = ''")
	}
	linked := func(kind string, parts ...string) {
		add("id IN (SELECT user_id FROM user_link WHERE realm = ? AND kind = ? AND target = ?)", realm, kind, target(parts...))
	}
	if q.Group != "" {
		linked(linkGroup, q.Group)
	}
	if q.RealmRole != "" {
		linked(linkRealmRole, q.RealmRole)
	}
	if q.ClientRole != "" {
		linked(linkClientRole, q.Client, q.ClientRole)
	}
	if q.IdentityProvider != "" {
		linked(linkProvider, q.IdentityProvider)
	}
	for name, value := range q.Attributes {
		linked(linkAttribute, name, strings.ToLower(value))
	}
	return strings.Join(where, " AND "), args
}
