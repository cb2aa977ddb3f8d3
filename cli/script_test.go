package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-idp/gatehouse/cli"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// hosts are what agents would have registered in the default domain.
const hosts = `
[host.master.server-config.server-one]
group = "auth-server-group"
socket-binding-port-offset = 150
[host.host2.server-config.server-two]
group = "auth-server-group"
socket-binding-port-offset = 250
`

// newModel is the default tree of a mode; a domain has two hosts.
func newModel(t *testing.T, mode profiles.Mode) *apitest.Model {
	t.Helper()
	text := string(profiles.DefaultTOML(mode))
	if mode == profiles.Domain {
		text += hosts
	}
	tree, err := profiles.ParseTOML("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	model := apitest.NewModel(tree)
	model.Logs["server-one"] = "one started\none ready\n"
	model.Logs["server-two"] = "two started\n"
	return model
}

// TestScripts runs testdata/script: each has a domain of its own, the command
// cli runs the command line against it and exits as it would.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			served := apitest.Serve(t, newModel(t, profiles.Domain))
			alone := apitest.Serve(t, newModel(t, profiles.Standalone))
			env.Setenv("SOCKET", served.Socket)
			env.Setenv("STANDALONE", alone.Socket)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"cli": runCLI},
	})
}

// runCLI is the command cli [-exit CODE] [flags] of scripts. With -exit the
// command must end with that code; with ! it must fail.
func runCLI(ts *testscript.TestScript, neg bool, args []string) {
	flags := flag.NewFlagSet("cli", flag.ContinueOnError)
	exit := flags.Int("exit", -1, "")
	controller := flags.String("controller", ts.Getenv("SOCKET"), "")
	command := flags.String("command", "", "")
	commands := flags.String("commands", "", "")
	file := flags.String("file", "", "")
	input := flags.String("input", "", "")
	output := flags.String("output", "text", "")
	var expect *uint64
	flags.Func("expect-revision", "", func(text string) error {
		n, err := strconv.ParseUint(text, 10, 64)
		expect = &n
		return err
	})
	headers := flags.String("headers", "", "")
	ts.Check(flags.Parse(args))
	settings := cli.Settings{
		Out: ts.Stdout(), Err: ts.Stderr(), Lazy: true, Format: cli.Format(*output), ExpectRevision: expect, Version: "test", Dir: ts.MkAbs("."), Clock: clock.Real(),
		Connect: func(ctx context.Context, addresses []string) (cli.Connection, error) {
			if len(addresses) == 0 {
				addresses = []string{*controller}
			}
			return dial(ctx, addresses)
		},
	}
	work := cli.Work{}
	switch {
	case *command != "":
		work.Commands = []string{*command}
	case *commands != "":
		work.Commands = cli.SplitCommands(*commands)
	case *file != "":
		work.File = *file
	case *input != "":
		work.Input = strings.NewReader(ts.ReadFile(*input))
	}
	code, err := run(settings, *headers, work)
	if err != nil {
		fmt.Fprintln(ts.Stderr(), err)
	}
	switch {
	case *exit >= 0 && code != *exit:
		ts.Fatalf("exit code %d, want %d: %v", code, *exit, err)
	case *exit < 0 && (code != 0) != neg:
		ts.Fatalf("exit code %d: %v", code, err)
	}
}

func run(settings cli.Settings, headers string, work cli.Work) (int, error) {
	var err error
	if headers != "" {
		if settings.Headers, err = cli.ParseHeaders(headers); err != nil {
			return problem.KindOf(err).Exit(), err
		}
	}
	session := cli.NewSession(settings)
	err = cli.Run(context.Background(), session, work)
	err = errors.Join(err, session.Close())
	if err == nil {
		return 0, nil
	}
	code := problem.KindOf(err).Exit()
	if cli.Shown(err) {
		return code, nil
	}
	return code, err
}

func dial(ctx context.Context, addresses []string) (cli.Connection, error) {
	c, err := client.Dial(ctx, client.Config{Addresses: addresses, Clock: clock.Real()})
	if err != nil {
		return cli.Connection{}, err
	}
	return cli.NewConnection(ctx, c, "local")
}

// guide gives the guide's commands for a mode: ** stands for the identity
// subsystem's address, <host_name> and <profile_name> for names.
func guide(t *testing.T, mode profiles.Mode) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "guide-commands.cli"))
	if err != nil {
		t.Fatal(err)
	}
	identity := "/subsystem=keycloak-server"
	if mode == profiles.Domain {
		identity = "/profile=auth-server-clustered" + identity
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || line == "connect" || strings.HasPrefix(line, "embed-server") {
			continue
		}
		domainOnly := strings.Contains(line, "<host_name>") || strings.Contains(line, "<profile_name>")
		if domainOnly && mode == profiles.Standalone {
			continue
		}
		line = strings.NewReplacer("**", identity, "<host_name>", "master", "<profile_name>", "auth-server-clustered").Replace(line)
		if mode == profiles.Domain {
			// Domain mode prefixes every other address with the profile, as the
			// guide says; core-service=management is the domain's own.
			if strings.HasPrefix(line, "/subsystem=") {
				line = "/profile=auth-server-clustered" + line
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// TestEveryCommandOfTheGuideRuns_InstallationGuide10 runs them as one script
// with --file, each mode on its own.
func TestEveryCommandOfTheGuideRuns_InstallationGuide10(t *testing.T) {
	for _, mode := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		served := apitest.Serve(t, newModel(t, mode))
		connected := func(ctx context.Context, _ []string) (cli.Connection, error) {
			return dial(ctx, []string{served.Socket})
		}
		t.Run(string(mode), func(t *testing.T) {
			runGuide(t, append([]string{"connect"}, guide(t, mode)...), connected)
			if tree := served.Model.Tree(); mode == profiles.Standalone {
				checkGuide(t, tree, nil)
			} else {
				checkGuide(t, tree, profiles.Address{{Type: "profile", Name: "auth-server-clustered"}})
			}
		})
	}
	t.Run("embedded", func(t *testing.T) {
		lines := append([]string{"embed-server --server-config=standalone.xml"}, guide(t, profiles.Standalone)...)
		t.Chdir(t.TempDir())
		runGuide(t, lines, nil)
		data, err := os.ReadFile("standalone.toml")
		if err != nil {
			t.Fatal(err)
		}
		tree, err := profiles.ParseTOML("standalone.toml", data)
		if err != nil {
			t.Fatal(err)
		}
		checkGuide(t, tree, nil)
	})
	t.Run("embedded domain", func(t *testing.T) {
		lines := append([]string{"embed-host-controller"}, guide(t, profiles.Domain)...)
		t.Chdir(t.TempDir())
		if err := os.WriteFile("domain.toml", append(profiles.DefaultTOML(profiles.Domain), hosts...), 0o600); err != nil {
			t.Fatal(err)
		}
		runGuide(t, lines, nil)
	})
}

// runGuide runs each line and says which failed, then all of them as a file
// would, in one session.
func runGuide(t *testing.T, lines []string, connect cli.Connect) {
	t.Helper()
	var out, errs strings.Builder
	session := cli.NewSession(cli.Settings{Out: &out, Err: &errs, Connect: connect, Format: cli.Text, Clock: clock.Real()})
	defer session.Close()
	for _, line := range lines {
		out.Reset()
		if err := session.Line(t.Context(), line); err != nil {
			t.Errorf("%s\n  %v\n%s", line, err, out.String())
		}
	}
}

// checkGuide looks at what the recipes leave behind.
func checkGuide(t *testing.T, tree profiles.Tree, at profiles.Address) {
	t.Helper()
	identity := at.Child("subsystem", "identity")
	for _, want := range []struct {
		at    profiles.Address
		name  string
		value any
	}{
		{identity, "web-context", "myContext"},
		{identity.Child("theme", "defaults"), "default", "myTheme"},
		{identity.Child("theme", "defaults"), "cacheThemes", false},
		{identity.Child("spi", "mySPI").Child("provider", "myProvider"), "enabled", false},
		{identity.Child("spi", "mySPI"), "default-provider", "myProvider"},
		{identity.Child("spi", "dblock").Child("provider", "jpa"), "properties", map[string]any{"lockWaitTimeout": "3"}},
	} {
		got := tree.Value(want.at, want.name)
		if fmt.Sprint(got) != fmt.Sprint(want.value) {
			t.Errorf("%s %s = %v, want %v", want.at, want.name, got, want.value)
		}
	}
}
