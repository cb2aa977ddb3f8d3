package access

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/xdg-go/scram"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// SessionLifetime is how long a token works after its login. It is short
// because a token names its user only; the client logs in again by itself.
const SessionLifetime = 30 * time.Minute

// Basic authentication repeats the password with each request. A right answer
// is remembered this long, so that a script of a thousand requests does not pay
// a thousand derivations.
const basicMemory = time.Minute

// basicLimit bounds that memory.
const basicLimit = 256

// refused is the one answer to every wrong login: it tells neither which names
// exist nor what was wrong.
func refused() error {
	return problem.Unauthorized.Errorf("cannot log in: wrong user name or password")
}

// Sessions authenticates management users. A token is signed by the key, so
// every controller that holds the same key accepts it, and it works only while
// its user exists and keeps the password.
type Sessions struct {
	store  Store
	ended  Endings
	key    []byte
	clock  clock.Clock
	mu     sync.Mutex
	recent map[string]time.Time // keyed digest of name and password -> until
	guess  *throttle
}

// NewSessions makes the authenticator of a store's users. All controllers of a
// domain are given the same key, at least 32 bytes, and the same endings; with
// nil the tokens are good, and sessions ended, at this process only.
func NewSessions(store Store, ended Endings, key []byte, c clock.Clock) *Sessions {
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key)
	}
	if ended == nil {
		ended = &ownEndings{clock: c, until: map[string]time.Time{}}
	}
	return &Sessions{store: store, ended: ended, key: key, clock: c, recent: map[string]time.Time{}, guess: newThrottle(c)}
}

// Login is one SCRAM conversation.
type Login struct {
	sessions     *Sessions
	conversation *scram.ServerConversation
	name         string
	user         *User
	waits        error // why this name's logins are refused for a while
}

// Login begins a SCRAM-SHA-256 conversation.
func (s *Sessions) Login(ctx context.Context) (*Login, error) {
	l := &Login{sessions: s}
	server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		l.name = name
		if l.waits = s.guess.allow(name); l.waits != nil {
			return scram.StoredCredentials{}, l.waits
		}
		s.store.Fresh(ctx) // for every name: the time it takes tells nothing
		u, err := s.store.User(ctx, name)
		switch {
		case problem.Is(err, problem.NotFound):
			return decoy(s.key, name).credentials(), nil
		case err != nil:
			return scram.StoredCredentials{}, err
		}
		l.user = &u
		return u.Verifier.credentials(), nil
	})
	if err != nil {
		return nil, problem.Internal.Errorf("cannot begin a login: %w", err)
	}
	l.conversation = server.NewConversation()
	return l, nil
}

// Step answers one message of the client. done means the client has proved
// that it knows the password; the answer must still be sent.
func (l *Login) Step(message string) (answer string, done bool, err error) {
	answer, err = l.conversation.Step(message)
	if l.waits != nil {
		return "", false, l.waits
	}
	done = l.conversation.Done()
	if err != nil || done && (!l.conversation.Valid() || l.user == nil) {
		if l.name != "" {
			l.sessions.guess.failed(l.name)
		}
		return "", false, refused()
	}
	if done {
		l.sessions.guess.succeeded(l.name)
	}
	return answer, done, nil
}

// Token opens a session for the user that logged in.
func (l *Login) Token() (token string, expires time.Time) {
	return l.sessions.token(*l.user, rand.Text())
}

// claims are what a token carries.
type claims struct {
	Name       string `json:"n"`
	Generation uint64 `json:"g"`
	Expires    int64  `json:"e"` // Unix seconds
	// Session is the same in all tokens of one session. Tokens of a version that
	// has none are sessions of their own.
	Session string `json:"s,omitempty"`
}

func (s *Sessions) token(u User, session string) (string, time.Time) {
	expires := s.clock.Now().Add(SessionLifetime).Truncate(time.Second)
	body, _ := json.Marshal(claims{u.Name, u.Generation, expires.Unix(), session}) // strings and numbers always encode
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + s.sign(text), expires
}

func (s *Sessions) sign(text string) string {
	return base64.RawURLEncoding.EncodeToString(keyed(s.key, "token", text))
}

// Bearer gives the caller of a token.
func (s *Sessions) Bearer(ctx context.Context, token string) (Caller, error) {
	invalid := func() (Caller, error) {
		return Caller{}, problem.Unauthorized.Errorf("cannot accept the session token: it has expired or is not of this domain")
	}
	text, signature, ok := strings.Cut(token, ".")
	if !ok || !hmac.Equal([]byte(signature), []byte(s.sign(text))) {
		return invalid()
	}
	body, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return invalid()
	}
	var c claims
	if json.Unmarshal(body, &c) != nil || s.clock.Now().Unix() >= c.Expires {
		return invalid()
	}
	u, current, err := s.holder(ctx, c)
	if err == nil && !current {
		s.store.Fresh(ctx)
		u, current, err = s.holder(ctx, c)
	}
	switch {
	case err != nil:
		return Caller{}, err
	case !current:
		return invalid()
	}
	session := cmp.Or(c.Session, signature)
	switch ended, err := s.ended.SessionEnded(ctx, session); {
	case err != nil:
		return Caller{}, err
	case ended:
		return invalid()
	}
	return Caller{Name: u.Name, Grants: u.Grants, Mechanism: SCRAM, Session: session}, nil
}

// holder gives the user that a token names, and whether it is still good: the user
// exists and has the password of then.
func (s *Sessions) holder(ctx context.Context, c claims) (u User, current bool, err error) {
	u, err = s.store.User(ctx, c.Name)
	if problem.Is(err, problem.NotFound) {
		return u, false, nil
	}
	return u, err == nil && u.Generation == c.Generation, err
}

// Expiry is when a token that Bearer accepts ends.
func (s *Sessions) Expiry(token string) time.Time {
	text, _, _ := strings.Cut(token, ".")
	var c claims
	if body, err := base64.RawURLEncoding.DecodeString(text); err != nil || json.Unmarshal(body, &c) != nil {
		return time.Time{}
	}
	return time.Unix(c.Expires, 0)
}

// Basic checks a name and a password. Its channel must be encrypted.
func (s *Sessions) Basic(ctx context.Context, name, password string) (Caller, error) {
	if len(password) > passwordLimit {
		return Caller{}, refused()
	}
	u, _, digest, err := s.claimed(ctx, name, password)
	if err != nil {
		return Caller{}, err
	}
	if !s.remembered(digest) {
		s.store.Fresh(ctx)
		var known bool
		if u, known, digest, err = s.claimed(ctx, name, password); err != nil {
			return Caller{}, err
		}
		if err := s.guess.allow(name); err != nil {
			return Caller{}, err
		}
		if !u.Verifier.Matches(name, password) || !known {
			s.guess.failed(name)
			return Caller{}, refused()
		}
		s.guess.succeeded(name)
		s.remember(digest)
	}
	return Caller{Name: u.Name, Grants: u.Grants, Mechanism: Basic}, nil
}

// claimed is the user of a name, or a decoy when none is known, and the digest by
// which a right answer is remembered. The stored key is part of it: a changed
// password forgets.
func (s *Sessions) claimed(ctx context.Context, name, password string) (u User, known bool, digest string, err error) {
	u, err = s.store.User(ctx, name)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return User{}, false, "", err
	}
	if known = err == nil; !known {
		u = User{Name: name, Verifier: decoy(s.key, name)}
	}
	return u, known, string(keyed(s.key, "basic", name+"\x00"+string(u.Verifier.StoredKey)+"\x00"+password)), nil
}

func (s *Sessions) remembered(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.recent[digest]
	return ok && s.clock.Now().Before(until)
}

func (s *Sessions) remember(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recent) >= basicLimit {
		clear(s.recent)
	}
	s.recent[digest] = s.clock.Now().Add(basicMemory)
}

// Open makes a token for a caller that has just authenticated with Basic, or a
// further one of the session that a caller of Bearer has.
func (s *Sessions) Open(ctx context.Context, c Caller) (token string, expires time.Time, err error) {
	u, err := s.store.User(ctx, c.Name)
	if err != nil {
		return "", time.Time{}, err
	}
	token, expires = s.token(u, cmp.Or(c.Session, rand.Text()))
	return token, expires, nil
}
