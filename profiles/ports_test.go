package profiles_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Where two servers would listen on one port whatever the host is started with,
// the change is refused; where -D of its agent or its environment may tell the
// ports apart, the host checks.
func TestPortsClashInTheTreeOnlyWhereTheyDoOnEveryHost(t *testing.T) {
	const add = `{"operation":"add","address":"/host=master/server-config=other","group":"auth-server-group",`
	sockets := func(name, port string) string {
		return `{"operation":"write-attribute","address":"/socket-binding-group=ha-sockets/socket-binding=` + name + `","name":"port","value":` + port + `}`
	}
	for _, c := range []struct {
		name    string
		steps   []string
		refused string // part of the message; "" where it is not
	}{
		{"the same expression and the same offset", []string{add + `"socket-binding-port-offset":150}`}, "port 8230"},
		{"another offset", []string{add + `"socket-binding-port-offset":151}`}, ""},
		{"different expressions that are equal by default", []string{
			sockets("http", `"${a:8080}"`), sockets("https", `"${b:8090}"`), add + `"socket-binding-port-offset":140}`}, ""},
		{"an expression and a literal", []string{
			sockets("http", `8080`), sockets("https", `"${b:8090}"`), add + `"socket-binding-port-offset":140}`}, ""},
		{"two literals", []string{
			sockets("http", `8080`), sockets("https", `8090`), add + `"socket-binding-port-offset":140}`}, "port 8230"},
		{"an offset that the host chooses", []string{add + `"socket-binding-port-offset":"${step:150}"}`}, ""},
		{"an offset that the host chooses, out of range by default", []string{add + `"socket-binding-port-offset":"${step:60000}"}`}, ""},
		{"a literal offset out of range", []string{add + `"socket-binding-port-offset":60000}`}, "68080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, op := domain(t), `{"operation":"composite","steps":[`+strings.Join(c.steps, ",")+`]}`
			_, _, _, err := profiles.Apply(tree, operation(t, op))
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && (problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("%v, want a refusal that says %q", err, c.refused)
			}
		})
	}
}
