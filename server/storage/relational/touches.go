package relational

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// touches are the last accesses that are not written yet.
type touches struct {
	mu      sync.Mutex
	pending map[storage.SessionKey]*touch
	writing map[storage.SessionKey]*touch // handed to the commit log
}

type touch struct {
	at, expires int64
	clients     map[string]int64 // by client id: at
}

func (t *touches) init() { t.pending = map[storage.SessionKey]*touch{} }

func (t *touches) add(key storage.SessionKey, client string, at, expires int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pending[key]
	if p == nil {
		p = &touch{clients: map[string]int64{}}
		t.pending[key] = p
	}
	p.at, p.expires = max(p.at, at), max(p.expires, expires)
	if client != "" {
		p.clients[client] = max(p.clients[client], at)
	}
}

// apply brings a session that was read up to date.
func (t *touches) apply(key storage.SessionKey, s *model.UserSession) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range []*touch{t.writing[key], t.pending[key]} {
		if p == nil {
			continue
		}
		s.LastAccess = max(s.LastAccess, p.at)
		if s.Expires != 0 {
			s.Expires = max(s.Expires, p.expires)
		}
		for client, at := range p.clients {
			if cs := s.Clients[client]; cs != nil {
				cs.LastAccess = max(cs.LastAccess, at)
			}
		}
	}
}

// touchLoop writes what was touched at each tick.
func (s *Store) touchLoop(ctx context.Context, ticker *clock.Timer) {
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.flushTouches(ctx)
		}
	}
}

// flushTouches writes what was touched, as one write of the commit log.
func (s *Store) flushTouches(ctx context.Context) {
	t := &s.touches
	t.mu.Lock()
	if len(t.pending) == 0 || t.writing != nil {
		t.mu.Unlock()
		return
	}
	t.writing, t.pending = t.pending, map[storage.SessionKey]*touch{}
	batch := t.writing
	t.mu.Unlock()

	err := s.log.do(ctx, "user/", false, func(ctx context.Context, c conn) error { return c.writeTouches(ctx, batch) })
	t.mu.Lock()
	t.writing = nil
	t.mu.Unlock()
	if err != nil {
		s.cfg.Options.Log.Warn().Err(err).Int("sessions", len(batch)).Msg("cannot write last accesses; trying again")
		for key, p := range batch {
			t.add(key, "", p.at, p.expires)
			for client, at := range p.clients {
				t.add(key, client, at, 0)
			}
		}
	}
}

// writeTouches updates the rows in one order, as all servers do.
func (c conn) writeTouches(ctx context.Context, batch map[storage.SessionKey]*touch) error {
	keys := make([]storage.SessionKey, 0, len(batch))
	for key := range batch {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b storage.SessionKey) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Realm, b.Realm), cmp.Compare(flag(a.Offline), flag(b.Offline)))
	})
	greatest := c.s.cfg.Dialect.Greatest
	for _, key := range keys {
		p := batch[key]
		n, err := c.exec(ctx, "UPDATE user_session SET last_access = "+greatest+"(last_access, CAST(? AS BIGINT)), expires = CASE WHEN expires = 0 THEN 0 ELSE "+greatest+"(expires, CAST(? AS BIGINT)) END WHERE realm = ? AND offline = ? AND id = ?",
			p.at, p.expires, key.Realm, flag(key.Offline), key.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			continue // it was deleted meanwhile
		}
		for client, at := range p.clients {
			if _, err := c.exec(ctx, "UPDATE client_session SET last_access = "+greatest+"(last_access, CAST(? AS BIGINT)) WHERE realm = ? AND offline = ? AND session_id = ? AND client_id = ?",
				at, key.Realm, flag(key.Offline), key.ID, client); err != nil {
				return err
			}
		}
	}
	return nil
}
