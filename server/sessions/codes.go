package sessions

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Code is what an authorization code stands for (RFC 6749, section 4.1.2). The
// code itself reads <uuid>.<session>.<client>: whoever gets it can find the
// session, even when the code was used before.
type Code struct {
	Session     string `json:"s"` // user session's id
	Client      string `json:"c"` // client's id
	RedirectURI string `json:"r"` // as in the request; "" when it had none
	Scope       string `json:"o"`
	Nonce       string `json:"n,omitempty"`
	Challenge   string `json:"p,omitempty"` // PKCE (RFC 7636)
	Method      string `json:"m,omitempty"` // of the challenge: plain or S256
	Expires     int64  `json:"e"`           // seconds since 1970
}

// usedCodeMemory is how long the use of a code is remembered, so that using it
// again revokes what it gave: longer than tokens of a first exchange live.
const usedCodeMemory = time.Hour

func codeKey(id string) string     { return "code." + id }
func usedCodeKey(id string) string { return "used-code." + id }

// IssueCode makes a code that may be used once within the realm's code
// lifespan.
func (s *Service) IssueCode(ctx context.Context, realm *model.Realm, c Code) (string, error) {
	id := uuid.NewString()
	c.Expires = s.clock.Now().Add(realm.Lifespans().Code).Unix()
	value, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	if err := s.store.Sessions().SingleUse.Put(ctx, realm.ID, codeKey(id), value, c.Expires); err != nil {
		return "", err
	}
	return id + "." + c.Session + "." + c.Client, nil
}

// RedeemCode uses a code for the client, given by id: of any number of callers
// on any number of servers one gets it. problem.NotFound when the code is
// unknown, expired or of another client, problem.Conflict when it was used
// before; the client's session is then revoked, and with it every token that
// the code gave (RFC 6749, section 4.1.2; RFC 9700, section 2.1.1).
func (s *Service) RedeemCode(ctx context.Context, realm *model.Realm, client, code string) (*Code, error) {
	id, rest, _ := strings.Cut(code, ".")
	dot := strings.LastIndex(rest, ".")
	if _, err := uuid.Parse(id); err != nil || dot < 0 || rest[dot+1:] != client {
		return nil, problem.NotFound.Errorf("cannot use the code: it is not one of this client")
	}
	now := s.clock.Now()
	var c *Code
	err := s.store.ChangeSessions(ctx, func(tx storage.Sessions) error {
		c = &Code{}
		value, err := tx.SingleUse.Take(ctx, realm.ID, codeKey(id))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(value, c); err != nil {
			return err
		}
		used, _ := json.Marshal(Code{Session: c.Session, Client: c.Client}) // plain strings always have JSON
		return tx.SingleUse.Put(ctx, realm.ID, usedCodeKey(id), used, now.Add(usedCodeMemory).Unix())
	})
	if problem.Is(err, problem.NotFound) {
		return nil, s.replayed(ctx, realm, client, id)
	}
	if err != nil {
		return nil, err
	}
	if c.Client != client || c.Expires <= now.Unix() {
		return nil, problem.NotFound.Errorf("cannot use the code: it has expired or is of another client")
	}
	return c, nil
}

// replayed answers a code that is not there: if it was used before, whoever
// uses it now or used it then has stolen it.
func (s *Service) replayed(ctx context.Context, realm *model.Realm, client, id string) error {
	value, err := s.store.Sessions().SingleUse.Peek(ctx, realm.ID, usedCodeKey(id))
	var c Code
	if err != nil || json.Unmarshal(value, &c) != nil || c.Client != client {
		return problem.NotFound.Errorf("cannot use the code: it is unknown or has expired")
	}
	if err := s.Detach(ctx, realm, c.Session, c.Client, false); err != nil {
		return err
	}
	if err := s.Detach(ctx, realm, c.Session, c.Client, true); err != nil {
		return err
	}
	return problem.Conflict.Errorf("cannot use the code: it was used before; the client's session is revoked")
}

// Once remembers that an object such as the id of a client assertion was used:
// problem.Conflict when it was used before. kind keeps kinds of ids apart.
func (s *Service) Once(ctx context.Context, realm *model.Realm, kind, id string, until time.Time) error {
	return s.store.Sessions().SingleUse.Put(ctx, realm.ID, kind+"."+id, []byte("1"), until.Unix())
}

func revokedKey(token string) string { return "revoked." + token }

// RevokeToken makes an access token, given by "jti", worthless until it expires
// by itself.
func (s *Service) RevokeToken(ctx context.Context, realm *model.Realm, token string, until time.Time) error {
	err := s.store.Sessions().SingleUse.Put(ctx, realm.ID, revokedKey(token), []byte("1"), until.Unix())
	if problem.Is(err, problem.Conflict) {
		return nil
	}
	return err
}

// Revoked reports whether RevokeToken was called for a token.
func (s *Service) Revoked(ctx context.Context, realm *model.Realm, token string) (bool, error) {
	_, err := s.store.Sessions().SingleUse.Peek(ctx, realm.ID, revokedKey(token))
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	return err == nil, err
}
