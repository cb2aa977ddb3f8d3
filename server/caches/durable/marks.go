package durable

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// change is a write of sessions under way: its marks are set before the
// database is asked to commit, so that nobody serves what was there before,
// even if this server dies the next moment.
type change struct {
	s     *Store
	marks map[storage.SessionKey]*placed
	doubt bool // instead of marks, everybody doubts everything
}

// placed is a mark that was set.
type placed struct {
	kind    Kind
	version caches.Version
	alone   bool // no other write of the session was under way
	token   [tokenSize]byte
}

// begin prepares a change of the given sessions.
func (s *Store) begin(ctx context.Context, keys ...storage.SessionKey) (*change, error) {
	c := &change{s: s, marks: map[storage.SessionKey]*placed{}}
	in, patience := s.trust.join()
	if in {
		c.doubt = true
		return c, nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := c.place(limited, keys)
	if err == nil {
		return c, nil
	}
	if ctx.Err() != nil {
		c.finish(ctx, nil, errUnmarked)
		return nil, ctx.Err()
	}
	s.cfg.Log.Debug().Err(err).Msg("cannot mark a session in the caches; nobody serves from them for a moment")
	if err := s.trust.doubt(ctx); err != nil {
		return nil, err
	}
	s.trust.prolong()
	c.doubt = true
	return c, nil
}

func (c *change) place(ctx context.Context, keys []storage.SessionKey) error {
	for _, key := range keys {
		kind := c.s.kind(key)
		if kind.Cache == nil || c.marks[key] != nil {
			continue
		}
		p, err := set(ctx, kind, name(key))
		if err != nil {
			return err
		}
		c.marks[key] = p
		if err := c.s.trust.reach(ctx, kind.Cache, p.version.Epoch); err != nil {
			return err
		}
	}
	return nil
}

// set puts a mark in place of whatever is there, beside other marks.
func set(ctx context.Context, kind Kind, key string) (*placed, error) {
	p := &placed{kind: kind, alone: true, token: uuid.New()}
	item, ok, err := kind.Cache.PutIfAbsent(ctx, key, mark(p.token[:]), markLife)
	for !ok && err == nil {
		if item.Version == (caches.Version{}) { // it expired just now
			p.alone = true
			item, ok, err = kind.Cache.PutIfAbsent(ctx, key, mark(p.token[:]), markLife)
			continue
		}
		tokens := p.token[:]
		if p.alone = len(item.Value) == 0 || item.Value[0] != isMark; !p.alone {
			tokens = append(slices.Clone(item.Value[1:]), tokens...)
		}
		if len(tokens) > 64*tokenSize {
			return nil, problem.Conflict.Errorf("cannot mark session %s: 64 writes of it are under way", key)
		}
		item, ok, err = kind.Cache.Replace(ctx, key, mark(tokens), markLife, item.Version)
	}
	p.version = item.Version
	return p, err
}

// finish ends a change that was committed, or was not. sessions are what the
// changed ones are now, without those that are gone. An error whose outcome
// nobody knows leaves the marks standing: they expire.
func (c *change) finish(ctx context.Context, sessions map[storage.SessionKey]*model.UserSession, outcome error) {
	if c.doubt {
		c.s.trust.leave()
	}
	if !known(outcome) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), peekLimit)
	defer cancel()
	for key, p := range c.marks {
		session := sessions[key]
		if outcome != nil {
			session = nil
		}
		if p.alone && p.leave(ctx, c.s, key, session) {
			continue
		}
		p.lift(ctx, name(key))
	}
}

// known reports whether an outcome is that nothing was changed, or all.
func known(err error) bool {
	if err == nil || errors.Is(err, errUnmarked) {
		return true
	}
	switch problem.KindOf(err) {
	case problem.Internal, problem.Unavailable, problem.Timeout:
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// leave puts what the session is now in place of the mark, if nobody else has
// marked it since.
func (p *placed) leave(ctx context.Context, s *Store, key storage.SessionKey, session *model.UserSession) bool {
	value, ttl := []byte{isEmpty}, emptyLife
	if session != nil && !p.kind.full() {
		if text, err := encode(p.version.Epoch, session); err == nil {
			value, ttl = text, p.kind.life(session, s.cfg.Clock.Now())
		}
	}
	_, ok, err := p.kind.Cache.Replace(ctx, name(key), value, ttl, p.version)
	return ok || err != nil
}

// lift takes this mark away and leaves those of others.
func (p *placed) lift(ctx context.Context, key string) {
	item, ok, err := p.kind.Cache.Peek(ctx, key)
	for ok && err == nil && item.Value[0] == isMark {
		at := bytes.Index(item.Value[1:], p.token[:])
		if at < 0 {
			return
		}
		rest := slices.Delete(slices.Clone(item.Value[1:]), at, at+tokenSize)
		value, ttl := mark(rest), markLife
		if len(rest) == 0 {
			value, ttl = []byte{isEmpty}, emptyLife
		}
		var done bool
		if item, done, err = p.kind.Cache.Replace(ctx, key, value, ttl, item.Version); done {
			return
		}
		ok = len(item.Value) > 0
	}
}

func (k Kind) full() bool { return k.Full != nil && k.Full() }

// life is how long a session's entry is kept; 0: for ever.
func (k Kind) life(session *model.UserSession, now time.Time) time.Duration {
	life := k.Lifespan
	if session.Expires != 0 {
		left := max(time.Unix(session.Expires, 0).Sub(now), time.Second)
		if life == 0 || left < life {
			life = left
		}
	}
	return life
}
