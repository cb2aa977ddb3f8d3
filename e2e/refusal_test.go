package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Who may not join is told why, and the operator of the domain reads it too.
func TestOnlyHostsOfTheDomainJoinItAndBothSidesSayWhy(t *testing.T) {
	d := newDomain(t, host{name: "master"}, host{name: "host2"})
	d.startController()
	d.startAgent(0)
	d.startAgent(1)
	connected := func() {
		eventually(t, "both hosts are connected", func(context.Context) error {
			out, err := d.try(":hosts")
			if err == nil && strings.Count(string(out), `"connected": true`) != 2 {
				err = fmt.Errorf("the hosts are %s", out)
			}
			return err
		})
	}
	connected()
	token := d.read("host2.token")
	for name, c := range map[string]struct {
		host, token string
		agent       string // what the agent says
		controller  string // what the controller's log says; "" where it was not asked
	}{
		"a wrong secret":         {"host2", tokenWith(t, token, "secret", "wrong"), "secret", "host2"},
		"an unknown host":        {"host9", tokenWith(t, token, "host", "host9"), "host9", "host9"},
		"a second host2":         {"host2", token, "another installation", "another installation"},
		"a token of another":     {"host9", token, "host2", ""},
		"what is not a token":    {"host2", "not-a-token", "must begin with", ""},
		"a token cut in halves":  {"host2", token[:len(token)/2], "join token", ""},
		"no token and no folder": {"host2", "", "gatehouse add-user --host host2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := *d
			d.t, d.dir = t, shortFolder(t)
			d.write(c.host+".toml", "name = \""+c.host+"\"\n[domain-controller.remote]\naddresses = [\""+d.address(0, nativePort)+"\"]\n")
			d.write("token", c.token)
			said := d.agent(1, c.host, filepath.Join(d.dir, "new"), filepath.Join(d.dir, "token")).refused(t)
			t.Logf("the agent: %s", lastLine(said))
			if !strings.Contains(lastLine(said), c.agent) {
				t.Errorf("the agent does not name %q:\n%s", c.agent, said)
			}
			if c.controller == "" {
				return
			}
			eventually(t, "the controller's log says it too", func(context.Context) error {
				if line := lastWith(d.controller.out.String(), "refused"); !strings.Contains(line, c.controller) {
					return fmt.Errorf("it does not name %q: %s", c.controller, line)
				}
				return nil
			})
			t.Logf("the controller: %s", lastWith(d.controller.out.String(), "refused"))
		})
	}
	connected() // none of this has disturbed who is a member
}

// The join token carries the fingerprint of the domain's authority: whoever
// answers in the controller's place gets no proof of the secret.
func TestAFalseControllerIsRefused(t *testing.T) {
	genuine := newDomain(t, host{name: "master"}, host{name: "host2"})
	genuine.startController()
	genuine.addHost("host2", filepath.Join(genuine.dir, "host2.token"))
	impostor := newDomain(t, host{name: "master"}, host{name: "host2"})
	impostor.startController()
	impostor.addHost("host2", filepath.Join(impostor.dir, "unused.token"))
	impostor.write("host2.token", genuine.read("host2.token"))
	agent := impostor.agent(1, "host2", filepath.Join(impostor.dir, "host2"), filepath.Join(impostor.dir, "host2.token"))
	said := agent.refused(t)
	t.Logf("the agent: %s", lastLine(said))
	for _, want := range []string{"authority", impostor.address(0, nativePort)} {
		if !strings.Contains(said, want) {
			t.Errorf("the agent does not name %q:\n%s", want, said)
		}
	}
	if joined := impostor.controller.out.String(); strings.Contains(joined, "host joined") {
		t.Errorf("the false controller let the host join:\n%s", joined)
	}
}

// A port that another process holds is named, with the process and who wants
// it; the other servers run, and the one that waits comes when the port is free.
func TestAPortTakenByAnotherProcessIsNamedWithItsPid(t *testing.T) {
	d := newDomain(t, host{name: "master", servers: []server{{"balancer", balancers, 0}, {"server-1", identity, 1}, {"server-2", identity, 2}}})
	taken := d.base + httpPort + 2*portStep
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(taken))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d.startController()
	d.startAgent(0)
	for _, s := range d.hosts[0].servers[:2] {
		eventually(t, s.name+" serves", answers(d.realm(0, s)))
	}
	d.explains("/host=master/server=server-2", strconv.Itoa(taken), "http", "server-2", "process "+strconv.Itoa(os.Getpid()))
	l.Close()
	eventually(t, "server-2 serves", answers(d.realm(0, d.hosts[0].servers[2])))
}

// A group that cannot be configured as it is says which attribute; nobody else
// notices.
func TestAGroupWithAnImpossibleConfigurationStopsNoOther(t *testing.T) {
	d := newDomain(t, twoHosts(1)...)
	d.boot()
	people := signIn(t, d.public(), 3)
	before := d.pids()
	load := startLoad(t, people, 50)

	// What can be seen to be wrong is refused before it is committed.
	for command, want := range map[string]string{
		`/server-group=odd:add(profile=no-such-profile,socket-binding-group=ha-sockets)`:                                             "no-such-profile",
		`/profile=auth-server-clustered/subsystem=datasources/data-source=KeycloakDS:write-attribute(name=max-pool-size,value=many)`: "max-pool-size",
		`/profile=auth-server-clustered/subsystem=identity:write-attribute(name=web-contxt,value=a)`:                                 "web-context",
	} {
		if _, err := d.try(command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a refusal that names %q", command, err, want)
		}
	}

	// What only the host can see, because a value is the host's, stops the
	// servers of that group alone.
	d.must(`/profile=auth-server-standalone/subsystem=datasources/data-source=KeycloakDS:write-attribute(name=max-pool-size,value="${odd.pool.size}")`)
	d.must(`/server-group=odd:add(profile=auth-server-standalone,socket-binding-group=standard-sockets)`)
	d.must(`/host=second/server-config=odd:add(group=odd,auto-start=true,port-offset=50)`)
	d.explains("/host=second/server=odd", "odd.pool.size", "max-pool-size")

	// So does what only the server can see: a database that is not there.
	d.must(`/profile=auth-server-standalone/subsystem=datasources/data-source=KeycloakDS:write-attribute(name=connection-url,value="sqlite:/proc/no/such/folder.db")`)
	d.must(`/profile=auth-server-standalone/subsystem=datasources/data-source=KeycloakDS:write-attribute(name=max-pool-size,value=5)`)
	d.explains("/host=second/server=odd", "KeycloakDS", "connection-url", "/proc/no")

	load.held()
	goOn(t, people)
	for name, pid := range d.pids() {
		if pid != before[name] {
			t.Errorf("%s is process %d, was %d", name, pid, before[name])
		}
	}
	resp, err := http.Get(d.public() + "/auth/realms/demo")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the balancer answers %v, %v", resp, err)
	}
	if err == nil {
		resp.Body.Close()
	}
}

// tokenWith is a join token with one of its fields changed.
func tokenWith(t *testing.T, token, field, value string) string {
	t.Helper()
	const prefix = "gatehouse-join-v1."
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, prefix))
	fields := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil || fields[field] == "" {
		t.Fatalf("the join token has another form than %s and base64url of a JSON object with %q: %v", prefix, field, err)
	}
	fields[field] = value
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return prefix + base64.RawURLEncoding.EncodeToString(text)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// lastWith is the last line that has a word in it.
func lastWith(text, word string) (found string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = strings.TrimSpace(line)
		}
	}
	return found
}
