package sessions

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// A chain of refresh tokens is compared with the rule in plain words: a token
// works if it is one of the newest, or the one in use and not used too often;
// anything else is reuse.
func TestRotationFollowsItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxReuse := rapid.IntRange(0, 3).Draw(t, "max reuse")
		c := &model.ClientSession{}
		issued := []string{"t0"}
		current, uses, newest := "", 0, map[string]bool{"t0": true}
		for i := range rapid.IntRange(1, 20).Draw(t, "uses") {
			token := rapid.SampledFrom(issued).Draw(t, "token")
			next := fmt.Sprintf("t%d", i+1)
			want := newest[token] || token == current && uses <= maxReuse
			if got := rotate(c, Refresh{Chain: "c", Token: token, Next: next}, maxReuse, int64(i)); got != want {
				t.Fatalf("use of %s is %v, want %v; note %q", token, got, want, c.Notes)
			}
			if !want {
				return // the session ends here
			}
			if newest[token] {
				current, uses, newest = token, 0, map[string]bool{}
			}
			uses++
			newest[next] = true
			issued = append(issued, next)
		}
	})
}

func TestLifetimesAreTheClientsThenTheRealms(t *testing.T) {
	realm := &model.Realm{SSOSessionIdleTimeout: 600, SSOSessionMaxLifespan: 3600, SSOSessionIdleTimeoutRememberMe: 7200, AccessTokenLifespan: 60}
	client := func(pairs ...string) *model.Client {
		c := &model.Client{Attributes: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Attributes[pairs[i]] = pairs[i+1]
		}
		return c
	}
	for _, c := range []struct {
		name                string
		client              *model.Client
		offline, rememberMe bool
		access, idle, max   time.Duration // of token, client session, client session
	}{
		{"realm", nil, false, false, time.Minute, 10 * time.Minute, time.Hour},
		{"remember me", nil, false, true, time.Minute, 2 * time.Hour, time.Hour},
		{"client's token", client("access.token.lifespan", "90"), false, false, 90 * time.Second, 10 * time.Minute, time.Hour},
		{"client's session", client("client.session.idle.timeout", "120", "client.session.max.lifespan", "240"), false, false, time.Minute, 2 * time.Minute, 4 * time.Minute},
		{"never more than the user's", client("client.session.idle.timeout", "99999", "client.session.max.lifespan", "99999"), false, false, time.Minute, 10 * time.Minute, time.Hour},
		{"offline has no end", client("client.offline.session.max.lifespan", "5"), true, false, time.Minute, 720 * time.Hour, 0},
		{"nonsense is no setting", client("access.token.lifespan", "-1", "client.session.idle.timeout", "x"), false, false, time.Minute, 10 * time.Minute, time.Hour},
	} {
		l := LifetimesOf(realm, c.client, c.offline, c.rememberMe)
		if l.AccessToken != c.access || l.ClientIdle != c.idle || l.ClientMax != c.max {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func TestASessionKeepsSoManyChainsAndNeverForgetsAUse(t *testing.T) {
	c := &model.ClientSession{}
	use := func(chain, at int) bool {
		return rotate(c, Refresh{Chain: fmt.Sprint(chain), Token: fmt.Sprint("t", chain), Next: fmt.Sprint("n", chain), Issued: int64(chain)}, 0, int64(at))
	}
	for i := range 3 * maxChains {
		if !use(i, i+1) {
			t.Fatalf("first use of chain %d", i)
		}
	}
	if n := len(c.Notes); n > maxChains+1 {
		t.Errorf("%d notes", n)
	}
	for _, i := range []int{0, 1, maxChains, 2*maxChains - 1, 3*maxChains - 1} {
		if use(i, 1000) {
			t.Errorf("second use of chain %d", i)
		}
	}
}
