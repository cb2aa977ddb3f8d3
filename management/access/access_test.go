package access_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const password = "correct-h0rse"

func TestPasswordsKeepTheGuidesRules_InstallationGuide10(t *testing.T) {
	for candidate, ok := range map[string]bool{
		password: true, "mgmt123!": true, "pässw0rd.": true,
		"root": false, "Admin": false, "administrator": false, // restricted
		"short1!": false, "nodigits!": false, "n0symbols": false, "1234567!": false, // too weak
		"eva-1234":                 false, // the name
		strings.Repeat("a1!", 400): false,
	} {
		if err := access.CheckPassword("eva-1234", candidate); (err == nil) != ok {
			t.Errorf("%.20q: %v", candidate, err)
		} else if err != nil && strings.Contains(err.Error(), candidate) && candidate != "eva-1234" && len(candidate) > 5 && candidate != "administrator" {
			t.Errorf("the refusal shows the password: %v", err)
		}
	}
	for name, ok := range map[string]bool{"eva": true, "eva@example.com": true, "": false, "local": false, "a b": false, "a/b": false, "a=b,n": false, strings.Repeat("x", 65): false} {
		if err := access.CheckName(name); (err == nil) != ok {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestStoreKeepsNoPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	store := access.NewFileStore(path)
	user, err := access.NewUser("eva", password, []access.Grant{{Role: access.Operator, Hosts: []string{"h1"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || bytes.Contains(data, []byte(password)) {
		t.Errorf("the file holds the password, or %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := access.NewFileStore(path).User(t.Context(), "eva")
	if err != nil || !got.Verifier.Matches("eva", password) || got.Verifier.Matches("eva", password+"x") || got.Grants[0].Hosts[0] != "h1" {
		t.Errorf("read back: %+v, %v", got.Grants, err)
	}
	if err := store.RemoveUser(t.Context(), "eva"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.User(t.Context(), "eva"); !problem.Is(err, problem.NotFound) {
		t.Errorf("after the removal: %v", err)
	}
	if err := store.RemoveUser(t.Context(), "eva"); !problem.Is(err, problem.NotFound) {
		t.Errorf("a second removal: %v", err)
	}
}

// sessions has one user, eva.
func sessions(t *testing.T) (*access.Sessions, access.Store, *clocktest.Clock) {
	t.Helper()
	store := access.NewFileStore(filepath.Join(t.TempDir(), "users.json"))
	user, err := access.NewUser("eva", password, []access.Grant{{Role: access.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.PutUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	c := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return access.NewSessions(store, nil, bytes.Repeat([]byte("k"), 32), c), store, c
}

// login goes through a SCRAM conversation and gives the token.
func login(ctx context.Context, s *access.Sessions, name, secret string) (token, firstAnswer string, err error) {
	user, err := scram.SHA256.NewClient(name, secret, "")
	if err != nil {
		return "", "", err
	}
	l, err := s.Login(ctx)
	if err != nil {
		return "", "", err
	}
	conversation := user.NewConversation()
	answer := ""
	for {
		message, err := conversation.Step(answer)
		if err != nil {
			return "", firstAnswer, err
		}
		var done bool
		if answer, done, err = l.Step(message); err != nil {
			return "", firstAnswer, err
		}
		if firstAnswer == "" {
			firstAnswer = answer
		}
		if done {
			if _, err := conversation.Step(answer); err != nil || !conversation.Valid() {
				return "", firstAnswer, fmt.Errorf("the server proved nothing: %w", err)
			}
			token, _ = l.Token()
			return token, firstAnswer, nil
		}
	}
}

func TestSessionLastsItsTimeAndNoLonger(t *testing.T) {
	s, store, c := sessions(t)
	token, _, err := login(t.Context(), s, "eva", password)
	if err != nil {
		t.Fatal(err)
	}
	if caller, err := s.Bearer(t.Context(), token); err != nil || caller.Name != "eva" || caller.Mechanism != access.SCRAM {
		t.Fatalf("%+v, %v", caller, err)
	}
	other := access.NewSessions(store, nil, bytes.Repeat([]byte("k"), 32), c)
	if _, err := other.Bearer(t.Context(), token); err != nil {
		t.Errorf("at another controller with the same key: %v", err)
	}
	foreign := access.NewSessions(store, nil, nil, c)
	if _, err := foreign.Bearer(t.Context(), token); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("at a foreign controller: %v", err)
	}
	c.Advance(access.SessionLifetime)
	if _, err := s.Bearer(t.Context(), token); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("after its time: %v", err)
	}
}

func TestASessionThatWasEndedIsOverWithAllItsTokens(t *testing.T) {
	s, _, c := sessions(t)
	ctx := t.Context()
	eva, err := s.Basic(ctx, "eva", password)
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := s.Open(ctx, eva)
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := s.Open(ctx, eva) // another browser
	caller, err := s.Bearer(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	c.Advance(access.SessionLifetime / 2)
	renewed, _, err := s.Open(ctx, caller)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.End(ctx, caller); err != nil {
		t.Fatal(err)
	}
	late, _, err := s.Open(ctx, caller) // a request that was under way
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"the first": first, "the renewed": renewed, "one made too late": late} {
		if _, err := s.Bearer(ctx, token); !problem.Is(err, problem.Unauthorized) {
			t.Errorf("%s token: %v", name, err)
		}
	}
	if _, err := s.Bearer(ctx, other); err != nil {
		t.Errorf("another session of the user: %v", err)
	}
	if err := s.End(ctx, eva); !problem.Is(err, problem.Invalid) {
		t.Errorf("a caller without a session: %v", err)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	s, _, _ := sessions(t)
	token, _, err := login(t.Context(), s, "eva", password)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		forged := []byte(token)
		at := rapid.IntRange(0, len(forged)-1).Draw(t, "at")
		forged[at] = rapid.Byte().Draw(t, "byte")
		caller, err := s.Bearer(context.Background(), string(forged))
		if string(forged) != token && err == nil {
			t.Fatalf("token %q gives %+v", forged, caller)
		}
	})
}

func TestUnknownUserCannotBeToldFromWrongPassword_RFC5802_7(t *testing.T) {
	s, _, _ := sessions(t)
	_, known, wrong := login(t.Context(), s, "eva", "wrong-passw0rd")
	_, first, unknown := login(t.Context(), s, "nobody", password)
	_, again, _ := login(t.Context(), s, "nobody", password)
	if wrong == nil || unknown == nil || wrong.Error() != unknown.Error() {
		t.Errorf("%v, %v", wrong, unknown)
	}
	salt := func(message string) string { return strings.Split(message, ",s=")[1] }
	if salt(first) != salt(again) {
		t.Error("the salt of an unknown user changes, which tells it from a known one")
	}
	if len(salt(first)) != len(salt(known)) {
		t.Errorf("the salts differ in form: %q, %q", salt(first), salt(known))
	}
	if _, err := s.Basic(t.Context(), "eva", password); err != nil {
		t.Errorf("basic: %v", err)
	}
	for _, pair := range [][2]string{{"eva", "wrong-passw0rd"}, {"nobody", password}, {"eva", strings.Repeat("x", 4096)}} {
		if _, err := s.Basic(t.Context(), pair[0], pair[1]); !problem.Is(err, problem.Unauthorized) {
			t.Errorf("basic %s: %v", pair[0], err)
		}
	}
}

func TestBasicForgetsWithTheRemovedUser(t *testing.T) {
	s, store, _ := sessions(t)
	for range 2 { // the second is remembered
		if _, err := s.Basic(t.Context(), "eva", password); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.RemoveUser(t.Context(), "eva"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Basic(t.Context(), "eva", password); !problem.Is(err, problem.Unauthorized) {
		t.Errorf("after the removal: %v", err)
	}
}

func TestAuditRotatesAndLosesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	audit, err := access.NewAudit(access.AuditConfig{File: file, MaxBytes: 400, Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		audit.Record(access.Event{User: "eva", Outcome: "success", Revision: uint64(i + 1)})
	}
	if err := audit.Close(); err != nil {
		t.Fatal(err)
	}
	found := map[uint64]bool{}
	for _, name := range []string{file, file + ".1"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e access.Event
			if err := json.Unmarshal(line, &e); err != nil || e.Time.IsZero() {
				t.Errorf("line %s: %v", line, err)
			}
			found[e.Revision] = true
		}
	}
	if len(found) != 4 {
		t.Errorf("events %v of 4", found)
	}
}

func TestSecretsAreMaskedInAuditedOperations(t *testing.T) {
	source := profiles.Address{{Type: "profile", Name: "p"}, {Type: "subsystem", Name: "datasources"}, {Type: "data-source", Name: "d"}}
	secret := profiles.Operation{Name: "write-attribute", Address: source, Params: map[string]any{"name": "password", "value": "s3cret"}}
	for _, op := range []profiles.Operation{
		secret,
		{Name: "add", Address: source, Params: map[string]any{"user-name": "sa", "password": "s3cret"}},
		{Name: "add-user", Params: map[string]any{"name": "eva", "password": "s3cret"}},
		{Name: "set-user-password", Params: map[string]any{"name": "eva", "password": "s3cret"}},
		{Name: "apply", Params: map[string]any{"toml": "password = 's3cret'"}},
		profiles.Composite(profiles.Operation{Name: "read-resource"}, secret),
		profiles.Composite(profiles.Composite(secret)),
	} {
		masked, err := json.Marshal(access.MaskOperation(op, profiles.Domain))
		if err != nil || bytes.Contains(masked, []byte("s3cret")) {
			t.Errorf("%s, %v", masked, err)
		}
	}
	if op := access.MaskOperation(secret, profiles.Domain); op.Params["name"] != "password" || op.Address.String() != source.String() {
		t.Errorf("masked too much: %s", op)
	}
}

func TestEachRoleMayDoItsPart(t *testing.T) {
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) profiles.Address {
		a, err := profiles.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	const clustered = "/profile=auth-server-clustered"
	cases := []struct {
		op    profiles.Operation
		roles string // initials: M onitor, O perator, m aintainer, D eployer, A dministrator, a uditor, S uperuser
	}{
		{profiles.Operation{Name: "read-resource"}, "MOmDAaS"},
		{profiles.Operation{Name: "history"}, "MOmDAaS"},
		{profiles.Operation{Name: "stop-servers"}, "OmAS"},
		{profiles.Operation{Name: "write-attribute", Address: at(clustered + "/subsystem=identity"), Params: map[string]any{"name": "web-context", "value": "x"}}, "mDAS"},
		{profiles.Operation{Name: "write-attribute", Address: at(clustered + "/subsystem=identity"), Params: map[string]any{"name": "web-context", "value": "x"}, Headers: map[string]any{"dry-run": true}}, "MOmDAaS"},
		{profiles.Operation{Name: "add", Address: at("/system-property=x")}, "mAS"},
		{profiles.Operation{Name: "write-attribute", Address: at(clustered + "/subsystem=datasources/data-source=KeycloakDS"), Params: map[string]any{"name": "password"}}, "AS"},
		{profiles.Operation{Name: "read-attribute", Address: at(clustered + "/subsystem=datasources/data-source=KeycloakDS"), Params: map[string]any{"name": "password"}}, "AaS"},
		{profiles.Operation{Name: "add-host", Params: map[string]any{"name": "x"}}, "AS"},
		{profiles.Operation{Name: "add-user", Params: map[string]any{"name": "x"}}, "AS"},
		{profiles.Operation{Name: "list-users"}, "AaS"},
		{profiles.Operation{Name: "revert", Params: map[string]any{"to": int64(1)}}, "AS"},
		{profiles.Operation{Name: "read-resource", Address: at("/core-service=management/access=authorization")}, "AaS"},
		{profiles.Operation{Name: "write-attribute", Address: at("/core-service=management/access=audit"), Params: map[string]any{"name": "enabled"}}, "aS"},
		{profiles.Operation{Name: "add", Address: at("/core-service=management/security-realm=UndertowRealm")}, "AS"},
		{profiles.Operation{Name: "no-such-operation"}, "mAS"},
	}
	initials := map[byte]access.Role{'M': access.Monitor, 'O': access.Operator, 'm': access.Maintainer, 'D': access.Deployer, 'A': access.Administrator, 'a': access.Auditor, 'S': access.SuperUser}
	for _, c := range cases {
		for initial, role := range initials {
			caller := access.Caller{Name: "x", Grants: []access.Grant{{Role: role}}}
			err := access.Authorize(caller, c.op, tree)
			if may := strings.IndexByte(c.roles, initial) >= 0; may != (err == nil) || err != nil && !problem.Is(err, problem.Forbidden) {
				t.Errorf("%s as %s: %v, want allowed %v", c.op, role, err, may)
			}
		}
		if err := access.Authorize(access.Caller{Name: "nobody"}, c.op, tree); err == nil {
			t.Errorf("%s without a role is allowed", c.op)
		}
	}
}

func TestHostScopeHidesOtherHosts(t *testing.T) {
	tree, err := profiles.ParseTOML("t.toml", append(profiles.DefaultTOML(profiles.Domain), []byte(`
[host.h1.server-config.one]
group = "auth-server-group"
[host.h2.server-config.two]
group = "load-balancer-group"
`)...))
	if err != nil {
		t.Fatal(err)
	}
	byHost := access.Caller{Name: "x", Grants: []access.Grant{{Role: access.Operator, Hosts: []string{"h1"}}}}
	byGroup := access.Caller{Name: "y", Grants: []access.Grant{{Role: access.Operator, ServerGroups: []string{"auth-server-group"}}}}
	at := func(host, typ, name string) profiles.Address {
		return profiles.Address{{Type: "host", Name: host}, {Type: typ, Name: name}}
	}
	cases := []struct {
		caller access.Caller
		op     string
		at     profiles.Address
		want   problem.Kind // Internal stands for allowed
	}{
		{byHost, "stop", at("h1", "server-config", "one"), problem.Internal},
		{byHost, "stop", at("h2", "server-config", "two"), problem.NotFound},
		{byHost, "read-resource", at("h2", "server", "two"), problem.NotFound},
		{byHost, "stop-servers", nil, problem.Forbidden},
		{byHost, "stop-servers", profiles.Address{{Type: "host", Name: "*"}}, problem.Forbidden},
		{byGroup, "stop", at("h1", "server", "one"), problem.Internal},
		{byGroup, "stop", at("h2", "server", "two"), problem.NotFound},
		{byGroup, "stop-servers", profiles.Address{{Type: "server-group", Name: "auth-server-group"}}, problem.Internal},
		{byGroup, "stop-servers", profiles.Address{{Type: "server-group", Name: "load-balancer-group"}}, problem.NotFound},
		{byGroup, "read-resource", profiles.Address{{Type: "host", Name: "h1"}}, problem.Internal},
	}
	for _, c := range cases {
		err := access.Authorize(c.caller, profiles.Operation{Name: c.op, Address: c.at}, tree)
		if c.want == problem.Internal && err != nil || c.want != problem.Internal && !problem.Is(err, c.want) {
			t.Errorf("%s %s:%s: %v, want %v", c.caller.Name, c.at, c.op, err, c.want)
		}
	}
}

func TestRoleMappingsOfTheModelAddAndTake(t *testing.T) {
	const base = "core-service.management.access.authorization"
	parse := func(text string) profiles.Tree {
		tree, err := profiles.ParseTOML("t.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	mappings := `
[` + base + `.role-mapping.Operator.include.eva]
name = "eva"
[` + base + `.role-mapping.Administrator.exclude.eva]
name = "eva"
[` + base + `.role-mapping.Monitor]
include-all = true
[` + base + `.role-mapping.one-host.include.eva]
name = "eva"
[` + base + `.host-scoped-role.one-host]
base-role = "Maintainer"
hosts = ["h1"]
[` + base + `.role-mapping.nowhere.include.eva]
name = "eva"
[` + base + `.host-scoped-role.nowhere]
base-role = "SuperUser"
hosts = []
`
	eva := access.Caller{Name: "eva", Mechanism: access.SCRAM, Grants: []access.Grant{{Role: access.Administrator}}}
	got, err := access.Effective(eva, parse(mappings))
	if err != nil || len(got.Grants) != 1 || !got.Has(access.Administrator) {
		t.Errorf("with the provider simple: %+v, %v", got.Grants, err)
	}
	rbac := parse("[" + base + "]\nprovider = \"rbac\"\n" + mappings)
	got, err = access.Effective(eva, rbac)
	if err != nil || got.Has(access.Administrator) || !got.Has(access.Operator) || !got.Has(access.Monitor) || got.Has(access.SuperUser) || len(got.Grants) != 3 {
		t.Errorf("with the provider rbac: %+v, %v", got.Grants, err)
	}
	local, err := access.Effective(access.LocalSuperUser(), rbac)
	if err != nil || !local.Has(access.SuperUser) {
		t.Errorf("the local caller: %+v, %v", local, err)
	}
	rejecting := parse("[" + base + "]\nprovider = \"rbac\"\npermission-combination-policy = \"rejecting\"\n" + mappings)
	if _, err := access.Effective(eva, rejecting); !problem.Is(err, problem.Forbidden) {
		t.Errorf("several roles where that is rejected: %v", err)
	}
}

func TestAuditIsOnUnlessTheModelSaysOtherwise(t *testing.T) {
	const logger = "[core-service.management.access.audit.logger.audit-log]\n"
	tree := func(text string) profiles.Tree {
		tree, err := profiles.ParseTOML("t.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	write, read := profiles.Operation{Name: "add", Address: profiles.Address{{Type: "path", Name: "x"}}}, profiles.Operation{Name: "read-resource"}
	off := profiles.Operation{Name: "write-attribute", Address: profiles.Address{{Type: "core-service", Name: "management"}, {Type: "access", Name: "audit"}, {Type: "logger", Name: "audit-log"}}}
	for _, c := range []struct {
		tree              profiles.Tree
		write, read, turn bool
	}{
		{profiles.New(profiles.Domain), true, true, true},
		{tree(logger + "log-read-only = false\n"), true, false, true},
		{tree(logger + "enabled = false\n"), false, false, true},
	} {
		if access.Audited(write, c.tree) != c.write || access.Audited(read, c.tree) != c.read || access.Audited(off, c.tree) != c.turn {
			t.Errorf("%+v", c)
		}
	}
}

// TestNoSecretIsShown_Property reads a random tree in every way as a caller who
// may not see its secrets.
func TestNoSecretIsShown_Property(t *testing.T) {
	const secret = "s3cret-value"
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		groups := rapid.IntRange(1, 3).Draw(t, "groups")
		text.WriteString("[interface.public]\ninet-address = \"127.0.0.1\"\n[socket-binding-group.s]\ndefault-interface = \"public\"\n")
		for g := range groups {
			fmt.Fprintf(&text, "[server-group.g%d]\nprofile = \"p%d\"\nsocket-binding-group = \"s\"\n", g, g)
			for d := range rapid.IntRange(0, 3).Draw(t, "sources") {
				fmt.Fprintf(&text, "[profile.p%d.subsystem.datasources.data-source.d%d]\nconnection-url = \"sqlite:x\"\ndriver-name = \"sqlite\"\npassword = %q\n", g, d, secret)
			}
			fmt.Fprintf(&text, "[profile.p%d.subsystem.identity]\n", g)
		}
		tree, err := profiles.ParseTOML("t.toml", []byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		caller := access.Caller{Name: "x", Grants: []access.Grant{{Role: rapid.SampledFrom([]access.Role{access.Monitor, access.Operator, access.Maintainer, access.Deployer}).Draw(t, "role")}}}
		scoped := rapid.Bool().Draw(t, "scoped")
		if scoped {
			caller.Grants[0].ServerGroups = []string{"g0"}
		}
		changes := profiles.Diff(profiles.New(profiles.Domain), tree)
		for _, read := range []struct {
			op     profiles.Operation
			result any
		}{
			{profiles.Operation{Name: "history"}, []any{map[string]any{"revision": 1, "changes": changes}}},
			{profiles.Operation{Name: "diff"}, changes},
			{profiles.Operation{Name: "read-config-as-toml"}, string(profiles.EncodeTOML(tree))},
			{profiles.Operation{Name: "read-resource", Params: map[string]any{"recursive": true}}, nil},
			{profiles.Operation{Name: "read-children-resources", Params: map[string]any{"child-type": "profile", "recursive": true}}, nil},
			{profiles.Operation{Name: "read-resource", Address: profiles.Address{{Type: "profile", Name: "*"}}, Params: map[string]any{"recursive": true}}, nil},
			{profiles.Composite(profiles.Operation{Name: "read-resource", Params: map[string]any{"recursive": true}}), nil},
		} {
			if read.result == nil {
				if _, _, read.result, err = profiles.Apply(tree, read.op); err != nil {
					t.Fatal(err)
				}
			}
			if err := access.Authorize(caller, read.op, tree); err != nil {
				t.Fatal(err)
			}
			shown, err := access.Filter(caller, read.op, tree, read.result)
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(shown)
			if err != nil || bytes.Contains(data, []byte(secret)) {
				t.Fatalf("%s shows %s, %v", read.op, data, err)
			}
			for g := 1; scoped && g < groups; g++ {
				if name := fmt.Sprintf(`p%d`, g); bytes.Contains(data, []byte(`"`+name+`"`)) || bytes.Contains(data, []byte("profile."+name)) {
					t.Fatalf("%s shows %s, which is out of scope: %s", read.op, name, data)
				}
			}
		}
	})
}

func TestOperationsThatACallerMayNotRunAreNotOffered(t *testing.T) {
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	at := profiles.Address{{Type: "server-group", Name: "auth-server-group"}}
	for _, c := range []struct {
		role       access.Role
		at         profiles.Address
		can, never []string
	}{
		{access.Monitor, nil, []string{"read-resource", "history", "whoami"}, []string{"write-attribute", "add-user", "list-users", "stop-servers", "apply"}},
		{access.Operator, at, []string{"stop-servers", "read-resource"}, []string{"write-attribute", "remove"}},
		{access.Auditor, nil, []string{"list-users", "history"}, []string{"add-user", "revert", "stop-servers"}},
		{access.Administrator, nil, []string{"add-user", "revert", "stop-servers", "revoke"}, nil},
	} {
		caller := access.Caller{Name: "eva", Grants: []access.Grant{{Role: c.role}}}
		_, _, all, err := profiles.Apply(tree, profiles.Operation{Name: "read-operation-names", Address: c.at})
		if err != nil {
			t.Fatal(err)
		}
		op := profiles.Operation{Name: "read-operation-names", Address: c.at}
		visible, err := access.Filter(caller, op, tree, all)
		if err != nil {
			t.Fatal(err)
		}
		names := " " + strings.Trim(fmt.Sprint(visible), "[]") + " "
		for _, name := range c.can {
			if !strings.Contains(names, " "+name+" ") {
				t.Errorf("%s is not offered %s", c.role, name)
			}
		}
		for _, name := range c.never {
			if strings.Contains(names, " "+name+" ") {
				t.Errorf("%s is offered %s", c.role, name)
			}
			op := profiles.Operation{Name: "read-operation-description", Address: c.at, Params: map[string]any{"name": name}}
			if _, err := access.Filter(caller, op, tree, map[string]any{}); !problem.Is(err, problem.NotFound) {
				t.Errorf("%s is told of %s: %v", c.role, name, err)
			}
		}
	}
}
