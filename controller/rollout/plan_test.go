package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPlansAreReadAsWildFlyWritesThem(t *testing.T) {
	tests := []struct{ text, want string }{
		{"web", "[[{web false 0 0 0 0 0s}]] false"},
		{"web,api", "[[{web false 0 0 0 0 0s}] [{api false 0 0 0 0 0s}]] false"},
		{"web^api rollback-across-groups", "[[{web false 0 0 0 0 0s} {api false 0 0 0 0 0s}]] true"},
		{"web(rolling-to-servers=false,max-failed-servers=1), api(max-failure-percentage=20)", "[[{web true 1 0 0 0 0s}] [{api false 0 20 0 0 0s}]] false"},
		{"in-series=web(batch-size=2,canary=1,soak=30s)", "[[{web false 0 0 1 2 30s}]] false"},
	}
	for _, tt := range tests {
		p, err := ParsePlan(tt.text)
		if got := fmt.Sprint(p.Series, " ", p.AcrossGroups); err != nil || got != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.text, got, err, tt.want)
		}
	}
}

func TestAWrongPlanIsRefusedByWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "name is missing",
		"web,,api":                        "name is missing",
		"web(":                            "not closed",
		"web(max-failed-servers=many)":    "want a number",
		"web(max-failure-percentage=101)": "0 to 100",
		"web(soak=long)":                  "like 30s",
		"web(speed=1)":                    "valid: rolling-to-servers",
	} {
		if _, err := ParsePlan(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestBatchesCoverAGroupInOrder(t *testing.T) {
	servers := []int{0, 1, 2, 3, 4}
	tests := []struct {
		g    Group
		want string
	}{
		{Group{}, "[[0] [1] [2] [3] [4]]"},
		{Group{BatchSize: 2}, "[[0 1] [2 3] [4]]"},
		{Group{Canary: 1, BatchSize: 3}, "[[0] [1 2 3] [4]]"},
		{Group{Canary: 9}, "[[0 1 2 3 4]]"},
		{Group{AllAtOnce: true, Canary: 1, Soak: time.Second}, "[[0 1 2 3 4]]"},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(tt.g.batches(servers)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.g, got, tt.want)
		}
	}
	if got := (Group{AllAtOnce: true}).batches(nil); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("an empty group: %v", got)
	}
}

func FuzzPlansNeverPanic(f *testing.F) {
	f.Add("web(rolling-to-servers=true,max-failed-servers=1),api^batch(soak=30s) rollback-across-groups")
	f.Add("))((,^")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePlan(text); err == nil && len(p.Names()) == 0 {
			t.Errorf("%q is a plan without groups", text)
		}
	})
}
