package profiles_test

import (
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestDefaultTreesAreValid(t *testing.T) {
	for _, m := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		tree, err := profiles.Default(m)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Mode() != m {
			t.Errorf("mode %s, want %s", tree.Mode(), m)
		}
	}
}
