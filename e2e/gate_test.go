package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A change after which a server is ready, and yet cannot show a login page, is
// taken back under the eyes of the default plan: the first server fails its gate,
// the second never has the change.
//
// It takes 7 to 13 s, so CI leaves it out.
func TestAServerThatIsReadyAndAnswers500IsRolledBackByItself(t *testing.T) {
	if !full {
		t.Skip("watches a rollout fail; run with GATEHOUSE_E2E_FULL=1")
	}
	d := newDomain(t, host{name: "master", servers: []server{{"balancer", balancers, 0}, {"server-1", identity, 1}, {"server-2", identity, 2}}})
	d.boot()
	d.change("Before")
	themes := filepath.Join(d.dir, "themes")
	page := filepath.Join(themes, "gatehouse", "login", "login.html") // the realm's theme
	if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(page, []byte("{{broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	const theme = identitySubsystem + "/theme=defaults"
	stop := browse(t, d.public()+"/auth/realms/demo"+loginPage, "Before")
	begin := time.Now()
	_, err := d.try(theme + `:write-attribute(name=dir,value="` + themes + `"){rollout auth-server-group(soak=10s,max-error-rate=20)}`) // as the default plan
	took := time.Since(begin)
	good, bad := stop()
	t.Logf("the rollout ended after %s: %v; %d pages were shown, %d not", took.Round(time.Millisecond), err, good, bad)
	if err == nil || !strings.Contains(err.Error(), "server-1") || strings.Contains(err.Error(), "server-2") {
		t.Errorf("the rollout ended with %v; want the failure of server-1 alone", err)
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d pages were shown and %d not: it was another trouble", good, bad)
	}
	if value := string(d.must(theme + ":read-attribute(name=dir)")); value != "null" && value != "" {
		t.Errorf("dir still is %s", value)
	}
	d.shows("Before") // on every server, and nobody did anything
}

// browse opens a page 50 times a second, each time as somebody new; stop says how
// often it had the text, and how often not.
func browse(t *testing.T, page, text string) (stop func() (good, bad int)) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var mu sync.Mutex
	var all sync.WaitGroup
	good, bad := 0, 0
	all.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			all.Go(func() {
				body, err := get(context.WithoutCancel(ctx), page)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && strings.Contains(body, text) {
					good++
				} else {
					bad++
				}
			})
		}
	})
	return func() (int, int) {
		cancel()
		all.Wait()
		return good, bad
	}
}
