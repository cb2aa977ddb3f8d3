package dmr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli/dmr"
)

func TestTextIsLaidOutAsWildFlyPrintsIt(t *testing.T) {
	cases := []struct{ name, json, want string }{
		{"a response begins with its outcome", `{"result":"auth","outcome":"success","revision":7}`,
			"{\n    \"outcome\" => \"success\",\n    \"result\" => \"auth\",\n    \"revision\" => 7\n}"},
		{"one simple member stays on the line", `{"lockWaitTimeout":"900"}`, `{"lockWaitTimeout" => "900"}`},
		{"one nested member does not", `{"a":{"b":1}}`, "{\n    \"a\" => {\"b\" => 1}\n}"},
		{"null is undefined", `null`, "undefined"},
		{"empty ones", `[{},[]]`, "[\n    {},\n    []\n]"},
		{"numbers keep their digits", `12345678901234567890`, "12345678901234567890"},
		{"quotes and backslashes are escaped", `".*\\.com \"x\""`, `".*\\.com \"x\""`},
		{"members are sorted", `{"b":true,"a":false}`, "{\n    \"a\" => false,\n    \"b\" => true\n}"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := json.NewDecoder(strings.NewReader(c.json))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if got := dmr.String(v); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
