package hostagent

import (
	"testing"
	"time"
)

func TestChangesOfManyServersAreToldTogether(t *testing.T) {
	for n, want := range map[int]time.Duration{
		0: 0, 2: 0, 20: 0, 21: 105 * time.Millisecond, 51: 255 * time.Millisecond, 100: 500 * time.Millisecond, 2000: 500 * time.Millisecond,
	} {
		if got := pause(n); got != want {
			t.Errorf("after a list of %d servers nothing is told for %s, want %s", n, got, want)
		}
	}
}
