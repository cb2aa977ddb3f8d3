package storagetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// BenchmarkLogins writes what a browser login writes, by many at a time: the
// authentication session, its progress, the sessions with the code, the code's
// use. It reports commits a login. rate is Options.CommitRate.
func BenchmarkLogins(b *testing.B, newDatabase func(testing.TB) string, open Open, rate float64) {
	ctx := context.Background()
	s, err := open(ctx, newDatabase(b), storage.Options{Clock: clock.Real(), CommitRate: rate})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var next atomic.Int64
	b.SetParallelism(16) // logins under way, for each processor
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := login(ctx, s, fmt.Sprint(next.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	status, err := s.Status(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(status.Commits)/float64(b.N), "commits/login")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

func login(ctx context.Context, s storage.Store, id string) error {
	sessions := s.Sessions()
	tab := &model.AuthenticationTab{ID: "t", ClientID: "c", RedirectURI: "https://app.example.com/cb", ClientNotes: map[string]string{"nonce": id, "state": id}}
	if err := sessions.Authentications.Create(ctx, &model.AuthenticationSession{ID: id, RealmID: "r", Expires: 1 << 40, Tabs: map[string]*model.AuthenticationTab{"t": tab}}); err != nil {
		return err
	}
	if err := sessions.Authentications.Change(ctx, "r", id, func(a *model.AuthenticationSession) error { a.Tabs["t"].UserID = "u"; return nil }); err != nil {
		return err
	}
	if err := s.ChangeSessions(ctx, func(tx storage.Sessions) error {
		if err := tx.Users.Create(ctx, newSession("r", id, "u", "c")); err != nil {
			return err
		}
		if err := tx.SingleUse.Put(ctx, "r", id, []byte(id), 1<<40); err != nil {
			return err
		}
		_, err := tx.Authentications.Delete(ctx, "r", id)
		return err
	}); err != nil {
		return err
	}
	_, err := sessions.SingleUse.Take(ctx, "r", id)
	return err
}
