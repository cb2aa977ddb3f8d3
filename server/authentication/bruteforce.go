package authentication

import (
	"context"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// locked reports whether a user may not log in for now. It is asked before a
// password is verified, to save the work, and after: what counts is the order in
// which guesses end, so however many run side by side, no right guess counts
// after as many wrong ones as the realm allows.
func (a *Accounts) locked(ctx context.Context, realm *model.Realm, userID string) (bool, error) {
	if !realm.BruteForceProtected {
		return false, nil
	}
	f, err := a.store.Sessions().LoginFailures.Get(ctx, realm.ID, userID)
	if problem.Is(err, problem.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return a.clock.Now().Unix() < f.NotBefore, nil
}

// countFailure counts a wrong guess, on all servers at once, and disables the
// user where the realm locks for good.
func (a *Accounts) countFailure(ctx context.Context, realm *model.Realm, u *model.User, remote string) error {
	rules := realm.BruteForce()
	if !rules.Enabled {
		return nil
	}
	now, forGood := a.clock.Now(), false
	err := a.store.Sessions().LoginFailures.Change(ctx, realm.ID, u.ID, func(f *model.LoginFailure) error {
		forGood = fail(f, rules, now)
		f.UserID, f.LastIPFailure = u.ID, remote
		return nil
	})
	if err != nil || !forGood || u == nobody {
		return err
	}
	a.log.Warn().Str("realm", realm.Name).Str("user", u.ID).Msg("user disabled after too many failed logins")
	_, err = a.Change(ctx, realm.ID, u.ID, func(u *model.User) error {
		u.Enabled = false
		return nil
	})
	return err
}

// fail counts one failure and decides how long the user waits, as Keycloak 26:
// MULTIPLE waits at every multiple of the factor, LINEAR longer at each failure
// past it; failures in quick succession wait too. It reports whether the lock is
// for good.
func fail(f *model.LoginFailure, rules model.BruteForce, now time.Time) (forGood bool) {
	last := time.UnixMilli(f.LastFailureMillis)
	before := f.LastFailureMillis
	if before > 0 && now.Sub(last) > rules.MaxDelta {
		f.NumFailures = 0
	}
	f.NumFailures++
	f.LastFailureMillis = now.UnixMilli()
	f.Expires = now.Add(max(rules.MaxDelta, rules.MaxWait) + time.Minute).Unix()
	reached := f.NumFailures >= rules.FailureFactor
	if reached && rules.PermanentLockout && (rules.MaxTemporaryLockouts == 0 || f.NumTemporaryLockouts >= rules.MaxTemporaryLockouts) {
		return true
	}
	var wait time.Duration
	if factor := max(1, rules.FailureFactor); reached {
		if wait = rules.WaitIncrement * time.Duration(f.NumFailures/factor); rules.Linear {
			wait = rules.WaitIncrement * time.Duration(1+f.NumFailures-factor)
		}
	} else if before > 0 && now.Sub(last) < rules.QuickLoginCheck {
		wait = rules.MinimumQuickWait
	}
	if wait = min(wait, rules.MaxWait); wait <= 0 {
		return false
	}
	f.NotBefore = now.Add(wait).Unix()
	if reached && rules.PermanentLockout && f.NumFailures%max(1, rules.FailureFactor) == 0 {
		f.NumTemporaryLockouts++
	}
	return false
}

// Succeeded forgets a user's failures after a login.
func (a *Accounts) Succeeded(ctx context.Context, realm *model.Realm, userID string) error {
	if !realm.BruteForceProtected {
		return nil
	}
	failures := a.store.Sessions().LoginFailures
	if _, err := failures.Get(ctx, realm.ID, userID); problem.Is(err, problem.NotFound) {
		return nil // nothing to forget: most logins write nothing
	}
	return failures.Delete(ctx, realm.ID, userID)
}
