package controller_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

func TestAUserLogsInAtAnyControllerAsSoonAsAdded(t *testing.T) {
	all := cluster(t)
	fingerprint := all["c1"].authority().Fingerprint
	for i := range 5 {
		name := fmt.Sprint("user", i)
		all["c1"].do("add-user", "", "name", name, "password", "watching 4 all-day!", "roles", []any{"Monitor"})
		for at, p := range all {
			c, err := client.Dial(t.Context(), client.Config{Addresses: []string{p.native()}, Fingerprint: fingerprint,
				User: name, Password: func() (string, error) { return "watching 4 all-day!", nil }, Clock: clock.Real()})
			if err != nil {
				t.Errorf("%s at %s: %v", name, at, err)
				continue
			}
			c.Close()
		}
	}
}
