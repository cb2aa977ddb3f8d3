package controller_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestARevertKeepsTheHostsThatRegisteredSince(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	before := p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "one")
	p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "two")
	p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	until(t, "host2 is in the model", func() bool { _, err := p.try("read-resource", "/host=host2"); return err == nil })

	p.do("revert", "", "to", int64(before.Revision))
	if got := p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got != "one" {
		t.Errorf("web-context is %v", got)
	}
	p.do("read-resource", "/host=host2/server-config=one")

	// To a revision without what its servers need, there is no way back.
	_, err := p.try("revert", "", "to", int64(1))
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "/host=host2/server-config=one") {
		t.Errorf("revert to a domain without the host's group: %v", err)
	}
}

func TestARolloutPlanThatCannotBeUsedIsRefusedBeforeTheCommit(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	before := p.do("read-resource", "/profile=web").Revision
	for _, plan := range []string{"in-series=x(", "in-series=no-such-group"} {
		_, err := p.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "mine", "{rollout", plan)
		if err == nil {
			t.Errorf("rollout %q was taken", plan)
		}
	}
	if after := p.do("read-resource", "/profile=web").Revision; after != before {
		t.Errorf("revision %d after %d: a refused operation left something behind", after, before)
	}
}
