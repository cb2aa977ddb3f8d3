package controller_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/authority"
)

// measured gives the metrics as "name{label,label} value".
func measured(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			name := fmt.Sprintf("%s{%s}", strings.TrimPrefix(f.GetName(), "gatehouse_controller_"), strings.Join(labels, ","))
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func TestAControllerMeasuresReplicationHostsAndRollouts(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := start(t, controller.Config{Metrics: registry, Version: "1.2"})
	roster(t, p)
	if _, err := p.follow("api,web"); err != nil {
		t.Fatal(err)
	}
	revision := p.do("read-resource", "/profile=web").Revision
	got := measured(t, registry)
	for name, want := range map[string]float64{
		"info{c1,1.2}": 1, "leader{}": 1, "raft_state{leader}": 1, "raft_state{follower}": 0, "members{}": 1,
		"revision{}": float64(revision), "hosts{connected}": 2, "hosts{missing}": 0, "servers{STARTED}": 4,
		"rollout_state{done}": 1, "rollout_state{running}": 0, "rollout_servers{done}": 4, "raft_last_contact_seconds{}": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	for _, name := range []string{"raft_term{}", "raft_last_index{}", "commit_seconds{}", "snapshots_published_total{}", "snapshots_published_bytes_total{}"} {
		if got[name] < 1 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if got["raft_applied_index{}"] > got["raft_last_index{}"] || got["commit_seconds{}"] < float64(revision) {
		t.Errorf("%v", got)
	}
}

func TestAFollowerMeasuresItsDistanceToTheLeader(t *testing.T) {
	first := start(t, controller.Config{Name: "c1"})
	token, err := authority.ParseToken(first.do("add-controller", "", "name", "c2").Result.(map[string]any)["token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	start(t, controller.Config{Name: "c2", Join: []string{first.native()}, JoinToken: token.String(), Metrics: registry})
	// A busy machine may depose the leader; a follower is one again soon.
	var got map[string]float64
	until(t, "c2 follows", func() bool {
		handOver(t, first, "c1")
		got = measured(t, registry)
		contact, known := got["raft_last_contact_seconds{}"]
		return got["leader{}"] == 0 && got["raft_state{follower}"] == 1 && known && contact <= 5
	})
	const firstElection = 2 // the term; nobody but c1 has led yet
	if got["members{}"] != 2 || got["raft_term{}"] == firstElection && got["commit_seconds{}"] != 0 {
		t.Errorf("%v", got)
	}
}
