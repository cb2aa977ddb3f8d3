package problem_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestKindSurvivesWrappingAndTheWire(t *testing.T) {
	for k := problem.Internal; k <= problem.Unsupported; k++ {
		t.Run(k.String(), func(t *testing.T) {
			err := fmt.Errorf("outer: %w", k.Errorf("cannot read: %w", io.EOF))
			if got := problem.KindOf(err); got != k {
				t.Errorf("KindOf = %v, want %v", got, k)
			}
			if !errors.Is(err, io.EOF) {
				t.Error("the cause was lost")
			}
			back := problem.FromGRPC(problem.ToGRPC(err))
			if got := problem.KindOf(back); got != k {
				t.Errorf("after the wire: KindOf = %v, want %v", got, k)
			}
			if back.Error() != err.Error() {
				t.Errorf("after the wire: %q, want %q", back, err)
			}
		})
	}
}

func TestHintKeepsKindAndCause(t *testing.T) {
	err := problem.WithHint(problem.NotFound.Errorf("cannot find it: %w", io.EOF), "look in %s", "the attic")
	if problem.KindOf(err) != problem.NotFound || !errors.Is(err, io.EOF) {
		t.Errorf("kind %v, cause kept %v", problem.KindOf(err), errors.Is(err, io.EOF))
	}
	if want := "cannot find it: EOF; look in the attic"; err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
	if problem.WithHint(nil, "x") != nil {
		t.Error("a hint made an error of nil")
	}
}

func TestKindsHaveDistinctExitCodes(t *testing.T) {
	seen := map[int]problem.Kind{}
	for k := problem.Internal; k <= problem.Unsupported; k++ {
		if other, dup := seen[k.Exit()]; dup {
			t.Errorf("%v and %v both exit with %d", k, other, k.Exit())
		}
		seen[k.Exit()] = k
	}
}
