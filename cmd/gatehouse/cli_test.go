package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// gatehouse runs one command line as main does.
func gatehouse(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	home := t.TempDir()
	code = run(t.Context(), Env{
		Args: args, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Clock: clock.Real(),
		Getenv: func(name string) string {
			if name == "HOME" {
				return home
			}
			return ""
		},
	})
	return code, out.String(), errs.String()
}

func serveDomain(t *testing.T) *apitest.Served {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	return apitest.Serve(t, apitest.NewModel(tree))
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const webContext = "/profile=auth-server-clustered/subsystem=keycloak-server"

func TestCLIRunsCommandsAndExitsByTheirOutcome(t *testing.T) {
	s := serveDomain(t)
	s.AddUser(t, "mon", "correct-h0rse", access.Grant{Role: access.Monitor})
	local := "--controller=" + s.Socket
	secret := write(t, "correct-h0rse\n")
	remote := []string{"cli", "--controller=" + s.Address, "--fingerprint=" + s.Fingerprint, "--user=mon", "--password-file=" + secret}
	cases := []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout string
		stderr string
	}{
		{"one command", []string{"cli", local, "--command=" + webContext + ":read-attribute(name=web-context)"}, "", 0, `"result" => "auth"`, ""},
		{"JSON", []string{"cli", local, "--output=json", "--command=" + webContext + ":read-attribute(name=web-context)"}, "", 0, `"result": "auth"`, ""},
		{"a comma inside a command", []string{"cli", local, "--command=" + webContext + "/spi=x:add(default-provider=y)"}, "", 0, `"success"`, ""},
		{"several commands", []string{"cli", local, "--commands=echo a,echo b"}, "", 0, "a\nb\n", ""},
		{"a file", []string{"cli", local, "--file=" + write(t, "echo from a file\n")}, "", 0, "from a file", ""},
		{"the input", []string{"cli", local}, "echo from the input\n", 0, "from the input", ""},
		{"over TLS", append(remote, "--command=:whoami"), "", 0, `"username" => "mon"`, ""},
		{"over TLS, forbidden", append(remote, "--command=/system-property=a:add(value=1)"), "", 7, `"forbidden"`, ""},
		{"not found", []string{"cli", local, "--command=/profile=nope:read-resource"}, "", 4, `"not-found"`, ""},
		{"nobody there", []string{"cli", "--controller=" + s.Socket + "x", "--command=:whoami"}, "", 8, "", "nothing runs at the socket"},
		{"a flag that is not there", []string{"cli", "--nope"}, "", 2, "", "--nope"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := gatehouse(t, c.stdin, c.args...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit code %d, want %d\n%s\n%s", code, c.code, stdout, stderr)
			}
		})
	}
}

func TestAddUserAsTheGuideShows_InstallationGuide10(t *testing.T) {
	s := serveDomain(t)
	answers := "a\nadmin\nadmin\nweak\nS3cret-of-admin\nS3cret-of-admin\nSuperUser\nyes\nyes\n"
	code, stdout, stderr := gatehouse(t, answers, "add-user", "--controller="+s.Socket)
	if code != 0 || !strings.Contains(stdout, "Added user 'admin'") || !strings.Contains(stdout, "token-of-admin") {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if strings.Contains(stdout+stderr, "S3cret-of-admin") {
		t.Error("the password is shown")
	}
	user, err := s.Users.User(t.Context(), "admin")
	if err != nil || !user.Verifier.Matches("admin", "S3cret-of-admin") {
		t.Errorf("the user: %+v, %v", user.Grants, err)
	}
}

func TestAddUserAsksNoMoreThanItWasNotTold(t *testing.T) {
	s := serveDomain(t)
	code, stdout, stderr := gatehouse(t, "S3cret-of-ann\nS3cret-of-ann\nyes\nno\n", "add-user", "--controller="+s.Socket, "--user=ann", "--role=Monitor")
	if code != 0 || !strings.Contains(stdout, "Added user 'ann'") || strings.Contains(stdout, "What do you wish to add") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestAddUserForScripts(t *testing.T) {
	s := serveDomain(t)
	secret := write(t, "S3cret-of-eva\n")
	token := filepath.Join(t.TempDir(), "host2.token")
	cases := []struct {
		name   string
		args   []string
		code   int
		output string
	}{
		{"a user", []string{"--user=eva", "--password-file=" + secret, "--role=Operator", "--on-host=h1"}, 0, "Added user 'eva'"},
		{"the same again", []string{"--user=eva", "--password-file=" + secret, "--role=Operator"}, 5, "it exists"},
		{"without a role", []string{"--user=eve", "--password-file=" + secret}, 2, "--role"},
		{"a role that is not there", []string{"--user=eve", "--password-file=" + secret, "--role=King"}, 2, "the roles are"},
		{"a host", []string{"--host=host2"}, 0, "token-of-host2"},
		{"a host, to a file", []string{"--host=host2", "--out=" + token}, 0, token},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := gatehouse(t, "", append([]string{"add-user", "--controller=" + s.Socket}, c.args...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.output) {
				t.Errorf("exit code %d, want %d\n%s\n%s", code, c.code, stdout, stderr)
			}
		})
	}
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info, err)
	}
	if data, err := os.ReadFile(token); err != nil || string(data) != "token-of-host2\n" {
		t.Errorf("the token: %q, %v", data, err)
	}
	if user, err := s.Users.User(t.Context(), "eva"); err != nil || user.Grants[0].Hosts[0] != "h1" {
		t.Errorf("the scope of eva: %+v, %v", user.Grants, err)
	}
	code, _, stderr := gatehouse(t, "", "add-user", "--controller="+s.Socket+"x", "--host=h")
	if code != 8 || !strings.Contains(stderr, "no controller runs on this machine") {
		t.Errorf("without a controller: %d %s", code, stderr)
	}
}
