package controller_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// batch runs operations as one; headers are names and values.
func (p *process) batch(steps []profiles.Operation, headers ...any) (client.Response, error) {
	p.t.Helper()
	op := profiles.Composite(steps...)
	op.Headers = map[string]any{}
	for i := 0; i < len(headers); i += 2 {
		op.Headers[headers[i].(string)] = headers[i+1]
	}
	return p.execute(p.t.Context(), op)
}

func TestACompositeMayChangeTheConfigurationAndWhatRuns(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	write := operation(t, "write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso")
	before := p.do("read-resource", "/profile=web").Revision
	steps := []profiles.Operation{
		write,
		operation(t, "restart-servers", "/server-group=api"),
		operation(t, "add", "/profile=more"),
		operation(t, "restart", "/host=h1/server-config=web"),
		operation(t, "read-attribute", "/host=h1/server=web", "name", "status"),
		operation(t, "read-attribute", "/profile=web/subsystem=identity", "name", "web-context"),
	}
	r, err := p.batch(steps, "dry-run", true)
	if err != nil || !strings.Contains(fmt.Sprint(r.Result), "step 2, /server-group=api:restart-servers") || f.order() != "" {
		t.Errorf("the plan: %v, %v; orders %q", r.Result, err, f.order())
	}
	if r, err = p.batch(steps); err != nil {
		t.Fatal(err)
	}
	if r.Revision != before+1 {
		t.Errorf("it made revisions %d to %d, not one", before+1, r.Revision)
	}
	var results map[string]struct {
		Outcome string
		Result  any
	}
	decode(t, r.Result, &results)
	if len(results) != 6 || results["step-4"].Result != "STARTED" || results["step-5"].Result != "STARTED" || results["step-6"].Result != "sso" {
		t.Errorf("results %+v", results)
	}
	if got := f.order(); !strings.Contains(got, "h1/api") || !strings.Contains(got, "h2/api") || !strings.HasSuffix(got, "h1/web") {
		t.Errorf("orders %s", got)
	}
}

func TestACompositeWhoseOrderFailsTakesItsRevisionBack(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	f.refuse = func(o *hostlink.Order, server string) error {
		if o.Kind == "suspend" {
			return problem.Precondition.Errorf("%s cannot be suspended now", server)
		}
		return nil
	}
	write := operation(t, "write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso")
	suspend := operation(t, "suspend", "/host=h1/server-config=web")
	before := p.webContext()
	_, err := p.batch([]profiles.Operation{write, operation(t, "restart", "/host=h2/server-config=web"), suspend})
	if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), "step 3 of 3 failed") || !strings.Contains(err.Error(), "was taken back as revision") {
		t.Errorf("got %v", err)
	}
	if p.webContext() != before {
		t.Errorf("web-context is %v", p.webContext())
	}
	if _, err := p.batch([]profiles.Operation{write, suspend}, "rollback-on-runtime-failure", false); err == nil || !strings.Contains(err.Error(), "stays") || p.webContext() != "sso" {
		t.Errorf("kept on request: %v, web-context %v", err, p.webContext())
	}
	if _, err := p.batch([]profiles.Operation{suspend}); err == nil || !strings.Contains(err.Error(), "the configuration was not changed") {
		t.Errorf("an order alone: %v", err)
	}
}

func TestACompositeIsRefusedBeforeAnythingIsDone(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	restart := operation(t, "restart-servers", "/server-group=api")
	before := p.do("read-resource", "/profile=web").Revision
	for says, step := range map[string]profiles.Operation{
		"step 2, revert, cannot be a step":   operation(t, "revert", "", "to", int64(1)),
		"step 2, add-host, cannot be a step": operation(t, "add-host", "", "name", "h9"),
		"step 2, composite, cannot be":       profiles.Composite(restart),
		"step 2 of 2 failed and nothing was": operation(t, "add", "/profile=web"),
	} {
		if _, err := p.batch([]profiles.Operation{restart, step}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if got := p.do("read-resource", "/profile=web").Revision; got != before || f.order() != "" {
		t.Errorf("revision %d after %d, orders %q", got, before, f.order())
	}
}

func TestAFollowerHandsCompositesAndBundlesToTheLeader(t *testing.T) {
	all := cluster(t)
	follower := all["c2"]
	if leaderOf(t, follower) == "c2" {
		follower = all["c3"]
	}
	f := roster(t, follower)
	want := ""
	eventually(t, "the composite is done", func() (bool, any) { // a leader that is deposed cannot tell what came of it
		r, err := follower.batch([]profiles.Operation{
			operation(t, "write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso"),
			operation(t, "restart", "/host=h1/server-config=web"),
		})
		want = strings.TrimSpace(want + " h1/web")
		if err != nil && !problem.Is(err, problem.Unavailable) {
			t.Fatalf("%v, %v", r.Result, err)
		}
		return err == nil, err
	})
	// Once for each time that it was asked for, at most.
	if got := f.order(); got == "" || !strings.HasPrefix(want, got) || follower.webContext() != "sso" {
		t.Errorf("orders %q, want %q", got, want)
	}
	tries, dir := 0, t.TempDir()
	eventually(t, "a bundle is whole", func() (bool, any) { // no host was away because controllers changed
		tries++
		var out, errs bytes.Buffer
		name := fmt.Sprintf("whole%d.tar.gz", tries)
		if err := shell(t, follower, dir, &out, &errs, "support-bundle "+name); err != nil {
			return false, fmt.Sprint(err, out.String(), errs.String())
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files := unpack(t, data)
		return files["hosts/h2.tar.gz"] == "bundle of h2" && strings.Contains(files["controllers.json"], `"c3"`), files["problems.txt"]
	})
}
