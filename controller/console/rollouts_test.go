package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

func TestARolloutGoesByTheDefaultOrAStoredPlan(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	add := b.form(b.page("/console/configuration/add?at=/&type=rollout-plan"), "name", "careful", "value.content", "a(canary=1)")
	_, plan := b.post("/console/plan", add)
	if r, text := b.post("/console/commit", b.form(plan)); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", r.Status, text)
	}
	page := b.page("/console/rollouts")
	if !strings.Contains(page, `<option value="id=careful">`) {
		t.Errorf("the stored plan is not offered:\n%s", page)
	}
	csrf := b.csrf()
	for way, want := range map[string]string{"id=careful": `"rollout":{"id":"careful"}`, "default": `"rollout":true`} {
		if r, text := b.post("/console/rollouts", url.Values{"csrf": {csrf}, "group": {"a"}, "rollout": {way}}); r.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %s\n%s", way, r.Status, text)
		}
		if !strings.Contains(s.audited(), want) {
			t.Errorf("%s: no operation with %s was carried out", way, want)
		}
	}
}
