package publisher

import (
	"testing"
	"time"
)

func TestASlowWayIsNotTakenForAWrongClock(t *testing.T) {
	sent := time.Unix(1000, 0)
	for _, tt := range []struct {
		name            string
		host, now, want time.Duration // after sent
	}{
		{"right, at once", 0, 0, 0},
		{"right, slow there", 9 * time.Second, 10 * time.Second, 0},
		{"right, slow back", 1 * time.Second, 10 * time.Second, 0},
		{"ahead", time.Minute, time.Second, 59 * time.Second},
		{"behind", -time.Minute, time.Second, -time.Minute},
	} {
		if got := skew(sent, sent.Add(tt.host), sent.Add(tt.now)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
