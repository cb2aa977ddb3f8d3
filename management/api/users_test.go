package api

import (
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestEveryOperationOfTheInterfaceIsDescribed(t *testing.T) {
	for _, mode := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		root, err := mode.Describe(nil)
		if err != nil {
			t.Fatal(err)
		}
		described := map[string]bool{}
		for _, od := range root.AllOperations() {
			described[od.Name] = od.Text != ""
		}
		for name := range operations {
			if !described[name] {
				t.Errorf("%s: %s has no description", mode, name)
			}
		}
	}
}
