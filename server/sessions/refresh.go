package sessions

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Refresh is one use of a refresh token.
type Refresh struct {
	Session string // user session's id
	Offline bool   // the token is of an offline session
	Chain   string // "reuse_id" of tokens that rotate: the same for all that follow one login
	Token   string // "jti" of the token that is used
	Next    string // "jti" of the token that will replace it
	Issued  int64  // "iat" of the token
}

// Refresh uses a refresh token: the live sessions that it stands for, with
// their time of last use brought up to date. In a realm that revokes refresh
// tokens each token can be used RefreshTokenMaxReuse times more than once, and
// only the newest of its chain; a token beyond that was stolen, from or by
// whoever uses it, and the client's session ends (RFC 9700, section 4.14.2).
// Errors: problem.NotFound when a session has ended, problem.Conflict when the
// token may not be used again.
func (s *Service) Refresh(ctx context.Context, realm *model.Realm, client *model.Client, use Refresh) (*model.UserSession, *model.ClientSession, error) {
	u, c, err := s.Both(ctx, realm, client, use.Session, use.Offline)
	if err != nil {
		return nil, nil, err
	}
	if use.Issued < c.Started {
		return nil, nil, ended(use.Session) // of an earlier session of the client, which was revoked
	}
	if !realm.RevokeRefreshToken {
		return u, c, s.touch(ctx, realm, client, u, c)
	}
	key := storage.SessionKey{Realm: realm.ID, ID: use.Session, Offline: use.Offline}
	refused := false
	err = s.store.Sessions().Users.Change(ctx, key, func(stored *model.UserSession) error {
		u, c, refused = stored, stored.Clients[client.ID], false
		if c == nil {
			return ended(use.Session)
		}
		if !rotate(c, use, realm.RefreshTokenMaxReuse, s.clock.Now().Unix()) {
			refused = true
			delete(u.Clients, client.ID)
			return nil
		}
		s.use(realm, u, c)
		return nil
	})
	if err == nil && refused {
		err = problem.Conflict.Errorf("cannot refresh: the token was used before; the client's session is revoked")
	}
	return u, c, err
}

// Both are a live user session and its live session with a client.
// problem.NotFound when either has ended.
func (s *Service) Both(ctx context.Context, realm *model.Realm, client *model.Client, session string, offline bool) (*model.UserSession, *model.ClientSession, error) {
	u, err := s.Session(ctx, realm, session, offline)
	if err != nil {
		return nil, nil, err
	}
	c := u.Clients[client.ID]
	if c == nil || c.Started < client.NotBefore || !s.clientLive(realm, client, u, c) {
		return nil, nil, ended(session)
	}
	return u, c, nil
}

// Session is a live user session, or problem.NotFound.
func (s *Service) Session(ctx context.Context, realm *model.Realm, id string, offline bool) (*model.UserSession, error) {
	u, err := s.store.Sessions().Users.Get(ctx, storage.SessionKey{Realm: realm.ID, ID: id, Offline: offline})
	if err != nil {
		return nil, err
	}
	if !s.Live(realm, u) {
		return nil, ended(id)
	}
	return u, nil
}

// touch notes that the sessions are used now, unless a note within the grace
// says so already.
func (s *Service) touch(ctx context.Context, realm *model.Realm, client *model.Client, u *model.UserSession, c *model.ClientSession) error {
	before := u.LastAccess
	s.use(realm, u, c)
	if life := LifetimesOf(realm, client, u.Offline, u.RememberMe); u.LastAccess-before < int64(life.Grace().Seconds()) {
		return nil
	}
	key := storage.SessionKey{Realm: realm.ID, ID: u.ID, Offline: u.Offline}
	return s.store.Sessions().Users.Touch(ctx, key, client.ID, u.LastAccess, u.Expires)
}

func (s *Service) use(realm *model.Realm, u *model.UserSession, c *model.ClientSession) {
	now := s.clock.Now().Unix()
	u.LastAccess, c.LastAccess = now, now
	u.Expires = LifetimesOf(realm, nil, u.Offline, u.RememberMe).UserSessionEnd(u).Unix()
}

func ended(session string) error {
	return problem.NotFound.Errorf("cannot use session %s: it has ended", session)
}

// rotationNote begins the name of the note in which a client session keeps the
// state of one chain of refresh tokens: "<current> <uses> <used at> <next> ...".
// forgottenNote is until when chains that are not kept any more were used: a
// token from before then, whose chain is not there, was used before.
const (
	rotationNote  = "refresh."
	forgottenNote = "refresh-forgotten"
)

// maxChains bounds what a session keeps. Each login of a browser begins a chain;
// somebody with that many of them at once is not a person.
const maxChains = 32

// rotate uses a token of a chain and reports whether it may be used.
func rotate(c *model.ClientSession, use Refresh, maxReuse int, now int64) bool {
	var current string
	var uses int
	var next []string
	if note := strings.Fields(c.Notes[rotationNote+use.Chain]); len(note) >= 3 {
		current, next = note[0], note[3:]
		uses, _ = strconv.Atoi(note[1])
	}
	forgotten, _ := strconv.ParseInt(c.Notes[forgottenNote], 10, 64)
	switch {
	case current == "" && forgotten > 0 && use.Issued <= forgotten:
		return false
	case current == "" || slices.Contains(next, use.Token):
		current, uses, next = use.Token, 1, nil
	case use.Token == current && uses <= maxReuse:
		uses++
	default:
		return false
	}
	note := append([]string{current, strconv.Itoa(uses), strconv.FormatInt(now, 10)}, append(next, use.Next)...)
	if c.Notes == nil {
		c.Notes = map[string]string{}
	}
	c.Notes[rotationNote+use.Chain] = strings.Join(note, " ")
	forget(c)
	return true
}

// forget drops the chains that were not used for longest.
func forget(c *model.ClientSession) {
	type chain struct {
		name string
		at   int64
	}
	var chains []chain
	for name, value := range c.Notes {
		if note := strings.Fields(value); strings.HasPrefix(name, rotationNote) && len(note) >= 3 {
			at, _ := strconv.ParseInt(note[2], 10, 64)
			chains = append(chains, chain{name, at})
		}
	}
	if len(chains) <= maxChains {
		return
	}
	slices.SortFunc(chains, func(a, b chain) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.name, b.name)) })
	for _, old := range chains[:len(chains)-maxChains] {
		delete(c.Notes, old.name)
		c.Notes[forgottenNote] = strconv.FormatInt(old.at, 10)
	}
}
