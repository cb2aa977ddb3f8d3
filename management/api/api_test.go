package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const password = "correct-h0rse"

// domain is a small domain with a secret in it.
func domain(t *testing.T) profiles.Tree {
	t.Helper()
	tree, err := profiles.ParseTOML("test.toml", []byte(`
[profile.web.subsystem.identity]
web-context = "auth"
[profile.web.subsystem.datasources.data-source.KeycloakDS]
connection-url = "sqlite:identity.db"
driver-name = "sqlite"
user-name = "sa"
password = "s3cret-of-the-database"
[profile.other.subsystem.identity]
[socket-binding-group.sockets]
default-interface = "public"
[interface.public]
inet-address = "127.0.0.1"
[server-group.a]
profile = "web"
socket-binding-group = "sockets"
[server-group.b]
profile = "other"
socket-binding-group = "sockets"
`))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func dial(t *testing.T, c client.Config) (*client.Client, error) {
	t.Helper()
	c.Clock = clock.Real()
	cl, err := client.Dial(t.Context(), c)
	if cl != nil {
		t.Cleanup(func() { _ = cl.Close() })
	}
	return cl, err
}

func remote(s *apitest.Served, user, secret string) client.Config {
	return client.Config{
		Addresses: []string{s.Address}, Fingerprint: s.Fingerprint, User: user,
		Password: func() (string, error) { return secret, nil },
	}
}

func operation(t *testing.T, text string) profiles.Operation {
	t.Helper()
	var op profiles.Operation
	if err := json.Unmarshal([]byte(text), &op); err != nil {
		t.Fatal(err)
	}
	return op
}

const (
	readContext  = `{"operation":"read-attribute","address":"/profile=web/subsystem=keycloak-server","name":"web-context"}`
	writeContext = `{"operation":"write-attribute","address":"/profile=web/subsystem=keycloak-server","name":"web-context","value":"sso"}`
	readSource   = `{"operation":"read-resource","address":"/profile=web/subsystem=datasources/data-source=KeycloakDS"}`
	readPassword = `{"operation":"read-attribute","address":"/profile=web/subsystem=datasources/data-source=KeycloakDS","name":"password"}`
)

func TestLocalSocketNeedsNoPassword(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	c, err := dial(t, client.Config{Addresses: []string{s.Socket}})
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Execute(t.Context(), operation(t, writeContext))
	if err != nil || response.Revision != 1 {
		t.Fatalf("write: %+v, %v", response, err)
	}
	response, err = c.Execute(t.Context(), operation(t, readContext))
	if err != nil || response.Result != "sso" {
		t.Fatalf("read: %+v, %v", response, err)
	}
	response, err = c.Execute(t.Context(), operation(t, `{"operation":"whoami","verbose":true}`))
	if err != nil || response.Result.(map[string]any)["identity"].(map[string]any)["username"] != "local" {
		t.Errorf("whoami: %+v, %v", response, err)
	}
	info, err := os.Stat(s.Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
}

func TestRemoteCallerLogsInWithSCRAM_RFC5802(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	s.AddUser(t, "anna", password, access.Grant{Role: access.Administrator})
	c, err := dial(t, remote(s, "anna", password))
	if err != nil {
		t.Fatal(err)
	}
	if response, err := c.Execute(t.Context(), operation(t, readPassword)); err != nil || response.Result != "s3cret-of-the-database" {
		t.Errorf("an administrator reads a secret: %+v, %v", response, err)
	}
	_, wrong := dial(t, remote(s, "anna", "wrong-passw0rd"))
	_, unknown := dial(t, remote(s, "nobody", password))
	for _, err := range []error{wrong, unknown} {
		if !problem.Is(err, problem.Unauthorized) {
			t.Errorf("a bad login: %v (%v)", err, problem.KindOf(err))
		}
	}
	if strings.ReplaceAll(wrong.Error(), "anna", "") != strings.ReplaceAll(unknown.Error(), "nobody", "") {
		t.Errorf("an unknown name is told from a wrong password: %q, %q", wrong, unknown)
	}
}

func TestFalseControllerIsRefused(t *testing.T) {
	s, other := apitest.Serve(t, apitest.NewModel(domain(t))), apitest.Serve(t, apitest.NewModel(domain(t)))
	config := remote(s, "anna", password)
	config.Fingerprint = other.Fingerprint
	if _, err := dial(t, config); !problem.Is(err, problem.Unauthorized) || !strings.Contains(err.Error(), "cannot trust the controller") {
		t.Errorf("a controller of another authority: %v", err)
	}
	config.Fingerprint = ""
	if _, err := dial(t, config); !problem.Is(err, problem.Invalid) {
		t.Errorf("a controller whose authority is not known: %v", err)
	}
}

func TestRolesLimitAndMask(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	s.AddUser(t, "mon", password, access.Grant{Role: access.Monitor})
	s.AddUser(t, "scoped", password, access.Grant{Role: access.Maintainer, ServerGroups: []string{"a"}})
	monitor, err := dial(t, remote(s, "mon", password))
	if err != nil {
		t.Fatal(err)
	}
	scoped, err := dial(t, remote(s, "scoped", password))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		by   *client.Client
		op   string
		want problem.Kind // Internal stands for success
	}{
		{"a monitor reads", monitor, readContext, problem.Internal},
		{"a monitor does not write", monitor, writeContext, problem.Forbidden},
		{"a monitor does not read a secret", monitor, readPassword, problem.Forbidden},
		{"a monitor does not list users", monitor, `{"operation":"list-users"}`, problem.Forbidden},
		{"a monitor does not kill servers, dry or not", monitor, `{"operation":"kill-servers","operation-headers":{"dry-run":true}}`, problem.Forbidden},
		{"a monitor does not hide a write in a composite", monitor, `{"operation":"composite","steps":[` + readContext + `,` + writeContext + `]}`, problem.Forbidden},
		{"a maintainer of a writes the profile of a", scoped, writeContext, problem.Internal},
		{"the group b looks absent", scoped, `{"operation":"read-resource","address":"/server-group=b"}`, problem.NotFound},
		{"the profile of b looks absent", scoped, `{"operation":"read-resource","address":"/profile=other/subsystem=identity"}`, problem.NotFound},
		{"what is shared may be read", scoped, `{"operation":"read-resource","address":"/interface=public"}`, problem.Internal},
		{"what is shared may not be written", scoped, `{"operation":"write-attribute","address":"/interface=public","name":"inet-address","value":"0.0.0.0"}`, problem.Forbidden},
		{"a shared socket-binding group may not be written", scoped, `{"operation":"remove","address":"/socket-binding-group=sockets"}`, problem.Forbidden},
		{"a maintainer does not write a secret", scoped, `{"operation":"write-attribute","address":"/profile=web/subsystem=datasources/data-source=KeycloakDS","name":"password","value":"x"}`, problem.Forbidden},
		{"a maintainer does not replace the domain", scoped, `{"operation":"apply","toml":""}`, problem.Forbidden},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.by.Execute(t.Context(), operation(t, c.op))
			if c.want == problem.Internal && err != nil || c.want != problem.Internal && !problem.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	response, err := monitor.Execute(t.Context(), operation(t, readSource))
	if err != nil || response.Result.(map[string]any)["password"] != access.Masked {
		t.Errorf("a resource's secret: %+v, %v", response.Result, err)
	}
	for _, op := range []string{`{"operation":"read-resource","recursive":true}`, `{"operation":"read-config-as-toml"}`,
		`{"operation":"read-resource","address":"/profile=*/subsystem=datasources/data-source=*"}`} {
		for _, by := range []*client.Client{monitor, scoped} {
			response, err := by.Execute(t.Context(), operation(t, op))
			text, _ := json.Marshal(response.Result)
			if err != nil || bytes.Contains(text, []byte("s3cret")) {
				t.Errorf("%s: the secret is shown, or %v", op, err)
			}
			if by == scoped && bytes.Contains(text, []byte(`"b"`)) {
				t.Errorf("%s shows what is out of scope: %s", op, text)
			}
		}
	}
	names, err := scoped.Execute(t.Context(), operation(t, `{"operation":"read-children-names","child-type":"server-group"}`))
	if text, _ := json.Marshal(names.Result); err != nil || string(text) != `["a"]` {
		t.Errorf("groups that a scoped caller sees: %s, %v", text, err)
	}
}

func TestUsersAreManagedThroughTheInterfaceAndPasswordsStayOut(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	local, err := dial(t, client.Config{Addresses: []string{"unix:" + s.Socket}})
	if err != nil {
		t.Fatal(err)
	}
	add := `{"operation":"add-user","name":"eva","password":"` + password + `","roles":["Operator"]}`
	if _, err := local.Execute(t.Context(), operation(t, add)); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Execute(t.Context(), operation(t, add)); !problem.Is(err, problem.Conflict) {
		t.Errorf("a user twice: %v", err)
	}
	if _, err := local.Execute(t.Context(), operation(t, `{"operation":"add-user","name":"eve","password":"short","roles":["Operator"]}`)); !problem.Is(err, problem.Invalid) {
		t.Errorf("a weak password: %v", err)
	}
	eva, err := dial(t, remote(s, "eva", password))
	if err != nil {
		t.Fatal(err)
	}
	change := `{"operation":"set-user-password","name":"eva","password":"another-h0rse"}`
	if _, err := local.Execute(t.Context(), operation(t, change)); err != nil {
		t.Fatal(err)
	}
	if _, err := eva.Execute(t.Context(), operation(t, readContext)); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("a session of the old password: %v", err)
	}
	log, err := os.ReadFile(s.AuditFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log, []byte(password)) || bytes.Contains(log, []byte("another-h0rse")) {
		t.Error("the audit log holds a password")
	}
	if !bytes.Contains(log, []byte(`"add-user"`)) || !bytes.Contains(log, []byte(`"outcome":"denied"`)) {
		t.Errorf("the audit log misses operations: %s", log)
	}
}

func TestClientFailsOverToAnotherController(t *testing.T) {
	first, second := apitest.Serve(t, apitest.NewModel(domain(t))), apitest.Serve(t, apitest.NewModel(domain(t)))
	c, err := dial(t, client.Config{Addresses: []string{first.Socket, second.Socket}})
	if err != nil {
		t.Fatal(err)
	}
	first.Stop()
	if _, err := c.Execute(t.Context(), operation(t, readContext)); err != nil {
		t.Fatalf("a read after the controller's death: %v", err)
	}
	if c.Address() != second.Socket {
		t.Errorf("the client is at %s", c.Address())
	}
	second.Model.Refuse(api.NotLeader{})
	if _, err := c.Execute(t.Context(), operation(t, writeContext)); !problem.Is(err, problem.Unavailable) {
		t.Errorf("without a leader: %v", err)
	}
}

func TestClientFollowsTheLeaderHint(t *testing.T) {
	follower, leader := apitest.Serve(t, apitest.NewModel(domain(t))), apitest.Serve(t, apitest.NewModel(domain(t)))
	follower.Model.Refuse(api.NotLeader{Leader: leader.Socket})
	c, err := dial(t, client.Config{Addresses: []string{follower.Socket}})
	if err != nil {
		t.Fatal(err)
	}
	if response, err := c.Execute(t.Context(), operation(t, writeContext)); err != nil || response.Revision != 1 {
		t.Errorf("a write at a follower: %+v, %v", response, err)
	}
}

func TestFollowStreamsEventsThenTheResponse(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	c, err := dial(t, client.Config{Addresses: []string{s.Socket}})
	if err != nil {
		t.Fatal(err)
	}
	var servers []any
	_, err = c.Follow(t.Context(), operation(t, `{"operation":"rolling-restart"}`), func(event any) error {
		servers = append(servers, event.(map[string]any)["server"])
		return nil
	})
	if err != nil || len(servers) != 2 {
		t.Errorf("events of %v, %v", servers, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Follow(ctx, operation(t, `{"operation":"rolling-restart"}`), func(any) error { return nil }); err == nil {
		t.Error("a call that was cancelled succeeded")
	}
}

func TestHTTP(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	s.AddUser(t, "anna", password, access.Grant{Role: access.SuperUser})
	s.AddUser(t, "mon", password, access.Grant{Role: access.Monitor})
	cases := []struct {
		name, user, method, path, body string
		header                         http.Header
		status                         int
		holds                          string
	}{
		{"nobody", "", "POST", "/management", readContext, nil, 401, `"failure-kind":"unauthorized"`},
		{"read", "mon", "POST", "/management", readContext, nil, 200, `"result":"auth"`},
		{"get an attribute", "mon", "GET", "/management/profile/web/subsystem/keycloak-server?operation=attribute&name=web-context", "", nil, 200, `"auth"`},
		{"get a resource", "mon", "GET", "/management/profile/web/subsystem/datasources/data-source/KeycloakDS", "", nil, 200, access.Masked},
		{"get half an address", "mon", "GET", "/management/profile", "", nil, 400, "there is no name after"},
		{"get cannot write", "anna", "GET", "/management/profile/web?operation=remove", "", nil, 400, "only reads"},
		{"forbidden", "mon", "POST", "/management", writeContext, nil, 403, "takes one of the roles"},
		{"not found", "anna", "GET", "/management/profile/nope", "", nil, 404, "not-found"},
		{"not JSON", "anna", "POST", "/management", `{"operation":`, nil, 400, "cannot read"},
		{"a form of another page", "anna", "POST", "/management", readContext, http.Header{"Content-Type": {"text/plain"}}, 400, "Content-Type"},
		{"another origin", "anna", "POST", "/management", readContext, http.Header{"Origin": {"https://evil.example"}}, 403, "origin"},
		{"over the limit", "anna", "POST", "/management", `{"operation":"apply","toml":"` + strings.Repeat("x", api.OperationLimit) + `"}`, nil, 413, "too-large"},
		{"a stream", "anna", "POST", "/management", `{"operation":"rolling-restart"}`, http.Header{"Accept": {"application/x-ndjson"}}, 200, `{"event":{`},
		{"health", "", "GET", "/health", "", nil, 200, "UP"},
		{"openapi", "mon", "GET", "/management/openapi.json", "", nil, 200, `"/management/profile/{profile}/subsystem/identity"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), c.method, "https://"+s.Address+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			for name, values := range c.header {
				r.Header[name] = values
			}
			if c.user != "" {
				r.SetBasicAuth(c.user, password)
			}
			answer, err := s.Web.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode != c.status || !strings.Contains(string(text), c.holds) {
				t.Errorf("status %d, want %d; %.300s (want %q), %v", answer.StatusCode, c.status, text, c.holds, err)
			}
		})
	}
}

func TestHTTPSession(t *testing.T) {
	s := apitest.Serve(t, apitest.NewModel(domain(t)))
	s.AddUser(t, "anna", password, access.Grant{Role: access.SuperUser})
	call := func(path, authorization string) (int, map[string]any) {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.Address+path, strings.NewReader(readContext))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("anna", password)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := s.Web.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var body map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, body
	}
	_, session := call("/management/session", "")
	token, _ := session["token"].(string)
	if status, body := call("/management", "Bearer "+token); status != 200 || body["result"] != "auth" {
		t.Errorf("with a token: %d %v", status, body)
	}
	if status, _ := call("/management", "Bearer "+token+"x"); status != 401 {
		t.Errorf("with a forged token: %d", status)
	}
}
