package controller_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestASurvivorOfALostMajorityServesAllAcknowledgedRevisions(t *testing.T) {
	all := cluster(t)
	all["c1"].furnish()
	// Acknowledged by all, then by a majority that the survivor is part of.
	write := func(by string, value int) {
		all[by].do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", fmt.Sprint("v", value))
	}
	for i := range 5 {
		write("c1", i)
	}
	all["c1"].stop()
	until(t, "the two others go on", func() bool {
		_, err := all["c3"].try("read-resource", "/profile=web")
		return err == nil
	})
	for i := 5; i < 10; i++ {
		write("c3", i)
	}
	acknowledged := all["c3"].do("read-resource", "/profile=web").Revision
	all["c2"].stop()
	tries := 0
	survivor := all["c3"]
	survivor.alone = true
	until(t, "the loss is said", func() bool {
		// Each write is of its own: one that was never acknowledged may be in the log.
		tries++
		_, err := survivor.try("add", fmt.Sprint("/profile=lost", tries))
		return err != nil && strings.Contains(err.Error(), "majority")
	})
	if _, err := controller.Recover(survivor.cfg.Dir, zerolog.Nop()); !problem.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "running") {
		t.Errorf("recovering a controller that runs: %v", err)
	}
	survivor.stop()

	seen, err := controller.Inspect(survivor.cfg.Dir)
	if err != nil || seen.Name != "c3" || seen.Log.Index == 0 || seen.Log.Term == 0 {
		t.Fatalf("inspecting: %+v, %v", seen, err)
	}
	s, err := controller.Recover(survivor.cfg.Dir, zerolog.Nop())
	if err != nil || s.Name != "c3" || s.Revision < acknowledged || s.Log != seen.Log {
		t.Fatalf("recovering: %+v, %v; want revision %d or later", s, err, acknowledged)
	}
	alone := survivor.again()
	if got := alone.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got != "v9" {
		t.Errorf("web-context after recovery is %v", got)
	}
	var history []struct{ Revision uint64 }
	decode(t, alone.do("history", "", "limit", int64(1000)).Result, &history)
	if uint64(len(history)) < acknowledged {
		t.Errorf("%d revisions of %d are in the history", len(history), acknowledged)
	}
	alone.do("add", "/profile=late")
	var list []struct {
		Name   string
		Leader bool
	}
	decode(t, alone.do("controllers", "").Result, &list)
	if len(list) != 1 || list[0].Name != "c3" || !list[0].Leader {
		t.Errorf("controllers after recovery: %+v", list)
	}
	replacesTheLost(t, all, alone)
}

// replacesTheLost adds a controller to a recovered domain, hands it the lead and
// sees that one of the lost cannot come back.
func replacesTheLost(t *testing.T, all map[string]*process, alone *process) {
	t.Helper()
	token, err := authority.ParseToken(alone.do("add-controller", "", "name", "c4").Result.(map[string]any)["token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	c4 := start(t, controller.Config{Name: "c4", Join: []string{alone.native()}, JoinToken: token.String()})
	handOver(t, alone, "c4")
	c4.do("add", "/profile=under-c4")
	alone.do("read-resource", "/profile=under-c4") // c4 reaches it where it is
	if got := fmt.Sprint(c4.do("controllers", "").Result); strings.Contains(got, "c1") || strings.Contains(got, "c2") {
		t.Errorf("controllers: %s", got)
	}
	stray, err := controller.New(all["c1"].cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stray.Run(ctx) }()
	until(t, "the domain goes on beside it", func() bool {
		_, err := c4.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "undisturbed")
		return err == nil
	})
	select {
	case <-stray.Ready():
		t.Error("a controller that was lost came back")
	default:
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the stray controller: %v", err)
	}
}

func TestRecoveringWhatIsNoControllerIsRefused(t *testing.T) {
	for _, f := range []func(string) error{
		func(dir string) error { _, err := controller.Recover(dir, zerolog.Nop()); return err },
		func(dir string) error { _, err := controller.Inspect(dir); return err },
	} {
		if err := f(t.TempDir()); !problem.Is(err, problem.NotFound) {
			t.Errorf("got %v", err)
		}
	}
}
