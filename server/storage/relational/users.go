package relational

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// users is the storage.Users of a connection. Lookup columns are lower-case.
type users struct{ c conn }

const userColumns = "position, version, added, doc"

func scanUser(scan func(...any) error) (*model.User, error) {
	var (
		m     model.Meta
		added int
		doc   []byte
		user  model.User
	)
	if err := scan(&m.Position, &m.Version, &added, &doc); err != nil {
		return nil, err
	}
	m.Added = added != 0
	if err := json.Unmarshal(doc, &user); err != nil {
		return nil, err
	}
	user.Meta = m
	return &user, nil
}

func (u users) one(ctx context.Context, what, where string, args ...any) (*model.User, error) {
	if unspeakable(args...) {
		return nil, problem.NotFound.Errorf("cannot find user %q", what)
	}
	row := u.c.QueryRowContext(ctx, u.c.s.cfg.Dialect.bind("SELECT "+userColumns+" FROM users WHERE "+where), args...)
	user, err := scanUser(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.NotFound.Errorf("cannot find user %q", what)
	}
	return user, u.c.s.explain(err)
}

func (u users) Get(ctx context.Context, realm, id string) (*model.User, error) {
	return u.one(ctx, id, "realm = ? AND id = ?", realm, id)
}

func (u users) ByUsername(ctx context.Context, realm, username string) (*model.User, error) {
	return u.one(ctx, username, "realm = ? AND username = ?", realm, strings.ToLower(username))
}

func (u users) ByEmail(ctx context.Context, realm, email string) (*model.User, error) {
	if email == "" {
		return nil, problem.NotFound.Errorf("cannot find user %q", email)
	}
	return u.one(ctx, email, "realm = ? AND email = ? ORDER BY position, id LIMIT 1", realm, strings.ToLower(email))
}

// lookup are the values of a user's lookup columns, in the order of the
// statements below.
func (u users) lookup(ctx context.Context, realm string, user *model.User) ([]any, error) {
	if user.Username == "" {
		return nil, problem.Invalid.Errorf("cannot keep user %q: it has no username", user.ID)
	}
	if err := errors.Join(speakable("username", user.Username), speakable("email", user.Email), speakable("first name", user.FirstName),
		speakable("last name", user.LastName), speakable("client", user.ServiceAccountClientID)); err != nil {
		return nil, err
	}
	email := strings.ToLower(user.Email)
	unique := sql.NullString{String: email, Valid: email != ""}
	if unique.Valid {
		var kind string
		err := u.c.row(ctx, "SELECT kind FROM realm WHERE realm = '' AND id = ?", []any{realm}, &kind)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		unique.Valid = kind != duplicateEmails
	}
	text, err := json.Marshal(user)
	if err != nil {
		return nil, err
	}
	return []any{strings.ToLower(user.Username), email, unique, strings.ToLower(user.FirstName), strings.ToLower(user.LastName),
		flag(user.Enabled), flag(user.EmailVerified), user.ServiceAccountClientID, flag(user.Added), string(text)}, nil
}

func (u users) Create(ctx context.Context, realm string, user *model.User) error {
	if user.ID == "" {
		id, err := newID()
		if err != nil {
			return err
		}
		user.ID = id
	}
	if err := speakable("id", user.ID); err != nil {
		return err
	}
	values, err := u.lookup(ctx, realm, user)
	if err != nil {
		return err
	}
	position, args := "?", append(values, realm, user.ID)
	if user.Position == 0 {
		position, args = "COALESCE((SELECT MAX(position) FROM users WHERE realm = ?), 0) + 1", append(args, realm)
	} else {
		args = append(args, user.Position)
	}
	err = u.c.row(ctx, "INSERT INTO users (username, email, email_unique, first_name, last_name, enabled, email_verified, service_client, added, doc, realm, id, version, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, "+
		position+") ON CONFLICT DO NOTHING RETURNING position", args, &user.Position)
	if errors.Is(err, sql.ErrNoRows) {
		return u.taken(ctx, realm, user)
	}
	if err != nil {
		return err
	}
	user.Version = 1
	return u.link(ctx, realm, user, false)
}

// taken says which of a user's names another one has; nil if none.
func (u users) taken(ctx context.Context, realm string, user *model.User) error {
	if other, err := u.ByUsername(ctx, realm, user.Username); err == nil && other.ID != user.ID {
		return problem.Conflict.Errorf("cannot write user %q: the username is taken", user.Username)
	}
	if other, err := u.ByEmail(ctx, realm, user.Email); err == nil && other.ID != user.ID {
		return problem.Conflict.Errorf("cannot write user %q: the email address %q is taken", user.Username, user.Email)
	}
	return problem.Conflict.Errorf("cannot create user %q: the id %q is taken", user.Username, user.ID)
}

func (u users) Update(ctx context.Context, realm string, user *model.User) error {
	values, err := u.lookup(ctx, realm, user)
	if err != nil {
		return err
	}
	var other int
	err = u.c.row(ctx, "SELECT COUNT(*) FROM users WHERE realm = ? AND id <> ? AND (username = ? OR email_unique = ?)",
		[]any{realm, user.ID, values[0], values[2]}, &other)
	if err != nil {
		return err
	}
	if other > 0 {
		return u.taken(ctx, realm, user)
	}
	n, err := u.c.exec(ctx, "UPDATE users SET username = ?, email = ?, email_unique = ?, first_name = ?, last_name = ?, enabled = ?, email_verified = ?, service_client = ?, added = ?, doc = ?, version = version + 1 WHERE realm = ? AND id = ? AND version = ?",
		append(values, realm, user.ID, user.Version)...)
	if err != nil {
		return err
	}
	if n == 0 {
		if _, err := u.Get(ctx, realm, user.ID); err != nil {
			return err
		}
		return problem.Conflict.Errorf("cannot update user %q: it has changed since it was read; read it again", user.Username)
	}
	user.Version++
	return u.link(ctx, realm, user, true)
}

func (u users) Delete(ctx context.Context, realm, id string) error {
	n, err := u.c.exec(ctx, "DELETE FROM users WHERE realm = ? AND id = ?", realm, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return problem.NotFound.Errorf("cannot delete user %q: there is none", id)
	}
	for _, statement := range []string{
		"DELETE FROM user_link WHERE realm = ? AND user_id = ?",
		"DELETE FROM client_session WHERE realm = ? AND session_id IN (SELECT id FROM user_session s WHERE s.realm = client_session.realm AND s.offline = client_session.offline AND s.user_id = ?)",
		"DELETE FROM user_session WHERE realm = ? AND user_id = ?",
		"DELETE FROM login_failure WHERE realm = ? AND user_id = ?",
	} {
		if _, err := u.c.exec(ctx, statement, realm, id); err != nil {
			return err
		}
	}
	return nil
}

// Kinds of link, the search index of what a user's document mentions.
const (
	linkGroup      = "group"
	linkRealmRole  = "realm-role"
	linkClientRole = "client-role"
	linkAttribute  = "attribute"
	linkProvider   = "identity-provider"
)

type link struct{ kind, target string }

// target joins the parts of a link's target. Long ones, and those that no
// database keeps, are represented by their hash.
func target(parts ...string) string {
	t := strings.Join(parts, "\n")
	if len(t) > 200 || unspeakable(t) {
		sum := sha256.Sum256([]byte(t))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return t
}

func linksOf(user *model.User) []link {
	set := map[link]bool{}
	for _, path := range user.Groups {
		set[link{linkGroup, target(path)}] = true
	}
	for _, role := range user.Roles() {
		if role.Client == "" {
			set[link{linkRealmRole, target(role.Name)}] = true
		} else {
			set[link{linkClientRole, target(role.Client, role.Name)}] = true
		}
	}
	for name, values := range user.Attributes {
		for _, value := range values {
			set[link{linkAttribute, target(name, strings.ToLower(value))}] = true
		}
	}
	for _, identity := range user.FederatedIdentities {
		set[link{linkProvider, target(identity.IdentityProvider)}] = true
	}
	return slices.Collect(maps.Keys(set))
}

// link brings the user's links in line with its document.
func (u users) link(ctx context.Context, realm string, user *model.User, update bool) error {
	want := linksOf(user)
	if update {
		have := map[link]bool{}
		err := u.c.rows(ctx, "SELECT kind, target FROM user_link WHERE realm = ? AND user_id = ?", []any{realm, user.ID}, func(rows *sql.Rows) error {
			var l link
			err := rows.Scan(&l.kind, &l.target)
			have[l] = true
			return err
		})
		if err != nil {
			return err
		}
		missing := want[:0]
		for _, l := range want {
			if !have[l] {
				missing = append(missing, l)
			}
			delete(have, l)
		}
		want = missing
		for l := range have {
			if _, err := u.c.exec(ctx, "DELETE FROM user_link WHERE realm = ? AND user_id = ? AND kind = ? AND target = ?", realm, user.ID, l.kind, l.target); err != nil {
				return err
			}
		}
	}
	for rows := range slices.Chunk(want, 100) {
		args := make([]any, 0, 4*len(rows))
		for _, l := range rows {
			args = append(args, realm, l.kind, l.target, user.ID)
		}
		values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?), ", len(rows)), ", ")
		if _, err := u.c.exec(ctx, "INSERT INTO user_link (realm, kind, target, user_id) VALUES "+values, args...); err != nil {
			return err
		}
	}
	return nil
}
