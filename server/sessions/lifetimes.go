package sessions

import (
	"strconv"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Lifetimes are how long the session of a user with one client lives, and its
// tokens, all from realm settings with the client's attributes in front, with
// Keycloak's defaults where neither says anything.
type Lifetimes struct {
	AccessToken time.Duration
	Idle        time.Duration // of the user session
	Max         time.Duration // of the user session; 0: no end
	ClientIdle  time.Duration // of the client session; never more than Idle
	ClientMax   time.Duration // of the client session; 0: as the user session
}

// LifetimesOf are the lifetimes for a realm's client; client may be nil.
func LifetimesOf(realm *model.Realm, client *model.Client, offline, rememberMe bool) Lifetimes {
	r := realm.Lifespans()
	l := Lifetimes{AccessToken: r.AccessToken, Idle: r.SSOIdle, Max: r.SSOMax, ClientIdle: r.ClientIdle, ClientMax: r.ClientMax}
	prefix := "client."
	switch {
	case offline:
		l.Idle, l.Max, l.ClientIdle, l.ClientMax = r.OfflineIdle, r.OfflineMax, r.ClientOfflineIdle, r.ClientOfflineMax
		prefix = "client.offline."
	case rememberMe:
		l.Idle, l.Max = r.SSOIdleRememberMe, r.SSOMaxRememberMe
	}
	if client != nil {
		l.AccessToken = attribute(client, "access.token.lifespan", l.AccessToken)
		l.ClientIdle = attribute(client, prefix+"session.idle.timeout", l.ClientIdle)
		l.ClientMax = attribute(client, prefix+"session.max.lifespan", l.ClientMax)
	}
	if offline && l.Max == 0 {
		l.ClientMax = 0 // the realm's offline sessions have no end
	}
	if l.ClientIdle == 0 || l.ClientIdle > l.Idle {
		l.ClientIdle = l.Idle
	}
	if l.Max > 0 && (l.ClientMax == 0 || l.ClientMax > l.Max) {
		l.ClientMax = l.Max
	}
	return l
}

// Grace is how far the stored time of last use may lie behind: an access that
// follows another within it is not written. A session so lives at least its
// idle time and at most this much longer.
func (l Lifetimes) Grace() time.Duration { return min(l.Idle/20, time.Minute) }

// UserSessionEnd is when a user session ends unless it is used again.
func (l Lifetimes) UserSessionEnd(s *model.UserSession) time.Time {
	return earlier(unix(s.LastAccess).Add(l.Idle+l.Grace()), unix(s.Started), l.Max)
}

// ClientSessionEnd is when a client session ends unless it is used again.
func (l Lifetimes) ClientSessionEnd(c *model.ClientSession) time.Time {
	return earlier(unix(c.LastAccess).Add(l.ClientIdle+l.Grace()), unix(c.Started), l.ClientMax)
}

// AccessTokenEnd is when an access token issued now expires: never after the
// sessions' last possible moment.
func (l Lifetimes) AccessTokenEnd(now time.Time, s *model.UserSession, c *model.ClientSession) time.Time {
	end := now.Add(l.AccessToken)
	if s != nil {
		end = earlier(end, unix(s.Started), l.Max)
	}
	if c != nil {
		end = earlier(end, unix(c.Started), l.ClientMax)
	}
	return end
}

// RefreshTokenEnd is when a refresh token issued now expires.
func (l Lifetimes) RefreshTokenEnd(now time.Time, s *model.UserSession, c *model.ClientSession) time.Time {
	end := earlier(now.Add(l.ClientIdle), unix(s.Started), l.Max)
	return earlier(end, unix(c.Started), l.ClientMax)
}

// earlier is end or start+limit, whichever is first; limit 0 is none.
func earlier(end, start time.Time, limit time.Duration) time.Time {
	if last := start.Add(limit); limit > 0 && last.Before(end) {
		return last
	}
	return end
}

func attribute(client *model.Client, name string, fallback time.Duration) time.Duration {
	if n, err := strconv.Atoi(client.Attributes[name]); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return fallback
}

func unix(s int64) time.Time { return time.Unix(s, 0) }
