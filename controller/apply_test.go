package controller_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestAFileThatSaysNothingOfHostsKeepsThem(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	until(t, "host2 is in the model", func() bool { _, err := p.try("read-resource", "/host=host2"); return err == nil })
	whole := p.do("read-config-as-toml", "").Result.(string)
	without, _, found := strings.Cut(whole, "[host.")
	if !found {
		t.Fatalf("no hosts in\n%s", whole)
	}
	if _, rest, more := strings.Cut(whole, "\n[interface"); more && !strings.Contains(without, "[interface") {
		without += "[interface" + rest
	}
	changed := without + "\n[profile.more]\n"

	r := p.do("apply", "", "toml", changed, "{dry-run", true)
	var plan struct {
		Changes []any
		Notes   []string
	}
	decode(t, r.Result, &plan)
	if len(plan.Changes) != 1 || len(plan.Notes) != 1 || !strings.Contains(plan.Notes[0], "the 1 of the domain are kept") {
		t.Errorf("plan %+v of\n%s", plan, changed)
	}
	if got := fmt.Sprint(p.do("diff", "", "toml", changed).Result); strings.Contains(got, "host2") {
		t.Errorf("hosts are taken for drift: %s", got)
	}
	p.do("apply", "", "toml", changed)
	p.do("read-resource", "/host=host2/server-config=one")
	p.do("read-resource", "/profile=more")

	// What the hosts need cannot be taken away under them.
	_, err := p.try("apply", "", "toml", "[profile.lonely]\n", "file", "lonely.toml")
	if !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "lonely.toml") || !strings.Contains(err.Error(), "/host=host2/server-config=one") {
		t.Errorf("a file without the group of a host's server: %v", err)
	}
	p.do("read-resource", "/server-group=web")

	// A file with hosts is meant whole.
	p.do("apply", "", "toml", whole)
	if _, err := p.try("read-resource", "/profile=more"); !problem.Is(err, problem.NotFound) {
		t.Errorf("the whole file did not take profile more away: %v", err)
	}
}
