package relational

import (
	"context"
	"crypto/rand"
	"database/sql"
	"math/big"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// sweepMost bounds what one write of the sweep removes, so that logins do not
// wait for it.
const sweepMost = 500

// sweepLoop removes what has expired. Servers begin at different moments.
func (s *Store) sweepLoop(ctx context.Context) {
	every := s.cfg.Options.SweepEvery
	delay := every
	if n, err := rand.Int(rand.Reader, big.NewInt(int64(every)+1)); err == nil {
		delay = time.Duration(n.Int64())
	}
	for clock.Sleep(ctx, s.cfg.Options.Clock, delay) == nil {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Options.Log.Warn().Err(err).Msg("cannot remove expired sessions; trying again")
		}
		delay = every
	}
}

// Sweep removes what has expired, now. User sessions stay for two TouchEvery
// longer: another server may have touched them.
func (s *Store) Sweep(ctx context.Context) error {
	now := s.cfg.Options.Clock.Now()
	grace := now.Add(-2 * s.cfg.Options.TouchEvery).Unix()
	for {
		keys, err := conn{s.cfg.Read, s}.expiredSessions(ctx, grace)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := s.ChangeSessions(ctx, func(tx storage.Sessions) error {
				for _, key := range keys {
					if _, err := tx.Users.Get(ctx, key); err == nil {
						continue // used again meanwhile
					}
					if _, err := tx.Users.Delete(ctx, key); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		if len(keys) < sweepMost {
			break
		}
	}
	for table, key := range map[string]string{"authentication_session": "id", "single_use": "name", "login_failure": "user_id"} {
		if err := s.sweepTable(ctx, table, key, now.Unix()); err != nil {
			return err
		}
	}
	return nil
}

func (c conn) expiredSessions(ctx context.Context, before int64) (keys []storage.SessionKey, err error) {
	err = c.rows(ctx, "SELECT realm, offline, id FROM user_session WHERE expires > 0 AND expires <= ? ORDER BY id LIMIT ?", []any{before, sweepMost}, func(rows *sql.Rows) error {
		var key storage.SessionKey
		var offline int
		err := rows.Scan(&key.Realm, &offline, &key.ID)
		key.Offline = offline != 0
		keys = append(keys, key)
		return err
	})
	return keys, err
}

func (s *Store) sweepTable(ctx context.Context, table, key string, now int64) error {
	where := " WHERE expires > 0 AND expires <= ?"
	for {
		var n int64
		if err := (conn{s.cfg.Read, s}).row(ctx, "SELECT COUNT(*) FROM "+table+where, []any{now}, &n); err != nil || n == 0 {
			return err
		}
		err := s.log.do(ctx, table, true, func(ctx context.Context, c conn) (err error) {
			n, err = c.exec(ctx, "DELETE FROM "+table+" WHERE (realm, "+key+") IN (SELECT realm, "+key+" FROM "+table+where+" LIMIT ?)"+" AND expires <= ?", now, sweepMost, now)
			return err
		})
		if err != nil || n < sweepMost {
			return err
		}
	}
}
