package profiles_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestReferenceNamesEveryAttribute(t *testing.T) {
	for _, m := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		text := profiles.Reference(m)
		if !bytes.Equal(text, profiles.Reference(m)) {
			t.Error("two references differ")
		}
		root, err := m.Describe(nil)
		if err != nil {
			t.Fatal(err)
		}
		eachDescription(root, "", func(at string, d *profiles.Description) {
			if at != "" && !bytes.Contains(text, []byte("`"+at+"`")) {
				t.Errorf("%s is missing", at)
			}
			for _, a := range d.Attributes {
				if !bytes.Contains(text, []byte("| `"+a.Name+"` |")) {
					t.Errorf("%s: %s is missing", at, a.Name)
				}
			}
		})
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "|") && strings.Count(line, "|")-strings.Count(line, `\|`) != 6 {
				t.Errorf("a row has not five cells: %s", line)
			}
		}
	}
}
