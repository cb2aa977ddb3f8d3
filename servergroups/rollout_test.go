package servergroups_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

func TestRolloutPlanSyntax(t *testing.T) {
	one := func(g string) servergroups.GroupPlan {
		return servergroups.GroupPlan{Group: g, Rolling: true, BatchSize: 1}
	}
	all := one("a")
	all.Rolling, all.MaxFailedServers = false, 1
	slow := one("b")
	slow.BatchSize, slow.Canary, slow.Soak, slow.MaxFailurePercentage = 3, 1, 30*time.Second, 40
	watched, rate := one("a"), 0.5
	watched.MaxErrorRate, watched.RequireCluster = &rate, true
	for _, c := range []struct {
		text string
		want servergroups.Plan
	}{
		{"a", servergroups.Plan{Steps: []servergroups.Step{{Groups: []servergroups.GroupPlan{one("a")}}}}},
		{"rollout a,b", servergroups.Plan{Steps: []servergroups.Step{{Groups: []servergroups.GroupPlan{one("a")}}, {Groups: []servergroups.GroupPlan{one("b")}}}}},
		{" a ( rolling-to-servers = false , max-failed-servers=1 ) ^ b(batch-size=3,canary=1,soak=30s,max-failure-percentage=40) rollback-across-groups",
			servergroups.Plan{Steps: []servergroups.Step{{Groups: []servergroups.GroupPlan{all, slow}}}, RollbackAcrossGroups: true}},
		{"a(max-error-rate=0.5%,require-cluster)", servergroups.Plan{Steps: []servergroups.Step{{Groups: []servergroups.GroupPlan{watched}}}}},
		{"id=my-plan", servergroups.Plan{ID: "my-plan"}},
	} {
		got, err := servergroups.ParsePlan(c.text)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v", c.text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":                           "column 1: a server group's name is missing",
		"a,":                         "name is missing",
		"a,a":                        `"a" is there twice`,
		"a(max-failed=1)":            `no option "max-failed"`,
		"a(batch-size=0)":            "batch-size",
		"a(soak=5)":                  "soak",
		"a(max-error-rate=101)":      "0 to 100",
		"a(max-error-rate=NaN)":      "0 to 100",
		"a(require-cluster=perhaps)": "true or false",
		"a b":                        "column 3",
		"a(canary=1":                 "comma or )",
		"id=":                        "needs the name",
		"a rollback-across-groups=x": "true or false",
	} {
		if _, err := servergroups.ParsePlan(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestRolloutPlanComesBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		groups := rapid.SliceOfNDistinct(rapid.StringMatching("[a-z-]{3,6}"), 1, 5, rapid.ID).Draw(t, "groups")
		p := servergroups.Plan{RollbackAcrossGroups: rapid.Bool().Draw(t, "across")}
		for _, g := range groups {
			plan := servergroups.GroupPlan{
				Group: g, Rolling: rapid.Bool().Draw(t, "rolling"),
				MaxFailedServers:     rapid.IntRange(0, 9).Draw(t, "failed"),
				MaxFailurePercentage: rapid.IntRange(0, 100).Draw(t, "percentage"),
				BatchSize:            rapid.IntRange(1, 9).Draw(t, "batch"),
				Canary:               rapid.IntRange(0, 3).Draw(t, "canary"),
				Soak:                 time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "soak")),
			}
			plan.RequireCluster = rapid.Bool().Draw(t, "cluster")
			if rapid.Bool().Draw(t, "watched") {
				rate := rapid.Float64Range(0, 100).Draw(t, "rate")
				plan.MaxErrorRate = &rate
			}
			if len(p.Steps) > 0 && rapid.Bool().Draw(t, "concurrent") {
				last := &p.Steps[len(p.Steps)-1]
				last.Groups = append(last.Groups, plan)
				continue
			}
			p.Steps = append(p.Steps, servergroups.Step{Groups: []servergroups.GroupPlan{plan}})
		}
		back, err := servergroups.ParsePlan(p.String())
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%q: %+v, %v", p, back, err)
		}
	})
}

func TestBatchesHoldEveryServerOnceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		servers := rapid.SliceOfDistinct(rapid.StringMatching("[a-z]{4}"), rapid.ID).Draw(t, "servers")
		g := servergroups.GroupPlan{Rolling: rapid.Bool().Draw(t, "rolling"), BatchSize: rapid.IntRange(0, 4).Draw(t, "batch"), Canary: rapid.IntRange(0, 4).Draw(t, "canary")}
		var all []string
		for i, b := range g.Batches(servers) {
			if len(b) == 0 {
				t.Fatal("an empty batch")
			}
			if i == 0 && g.Canary > 0 && len(b) > g.Canary || g.Rolling && (i > 0 || g.Canary == 0) && len(b) > max(1, g.BatchSize) {
				t.Fatalf("batch %d has %d servers", i, len(b))
			}
			all = append(all, b...)
		}
		if !slices.Equal(all, servers) {
			t.Fatalf("%v became %v", servers, all)
		}
	})
}
