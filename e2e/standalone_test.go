package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/porttest"
)

// lone is one standalone server with a folder of its own.
type lone struct {
	binary, dir  string
	http, health int
	process      *exec.Cmd
}

// startAlone runs gatehouse start-dev until it is ready. A path of a socket is
// short, so the folder is not the test's own.
func startAlone(t *testing.T, dir string, args ...string) *lone {
	t.Helper()
	s := &lone{binary: gatehouse(t), dir: dir, http: porttest.Free(t), health: porttest.Free(t)}
	args = append([]string{"start-dev", "--dir", dir, "--http-port", strconv.Itoa(s.http), "--health-port", strconv.Itoa(s.health)}, args...)
	s.process = start(t, "the standalone server", exec.Command(s.binary, args...))
	eventually(t, "the server is ready", answers(s.ready()))
	return s
}

func (s *lone) ready() string {
	return "http://127.0.0.1:" + strconv.Itoa(s.health) + "/health/ready"
}
func (s *lone) at(path string) string { return "http://127.0.0.1:" + strconv.Itoa(s.http) + path }

// cli runs commands of the management command line; one that fails gives an
// error with what it printed.
func (s *lone) cli(args ...string) (string, error) {
	args = append([]string{"cli", "--controller=" + filepath.Join(s.dir, "management.sock")}, args...)
	out, err := exec.Command(s.binary, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

// must is cli for what has to succeed.
func (s *lone) must(t *testing.T, command string) string {
	t.Helper()
	out, err := s.cli("--command=" + command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestAStandaloneServerIsManagedWhileItRuns(t *testing.T) {
	s := startAlone(t, shortDir(t))

	s.must(t, `/subsystem=identity:write-attribute(name=display-name,value="Seen at once")`)
	if page, err := get(t.Context(), s.at("/auth/realms/master/account")); err != nil || !strings.Contains(page, "Seen at once") {
		t.Errorf("the login page after a live change: %v\n%s", err, page)
	}

	if out := s.must(t, "/subsystem=keycloak-server:write-attribute(name=web-context,value=sso)"); !strings.Contains(out, "reload-required") {
		t.Errorf("a change of the web context answers\n%s", out)
	}
	if err := answers(s.at("/auth/realms/master"))(t.Context()); err != nil {
		t.Errorf("before the reload: %v", err)
	}
	if out := s.must(t, "/subsystem=identity:read-attribute(name=web-context)"); !strings.Contains(out, "reload-required") {
		t.Errorf("another operation forgets that a reload is required:\n%s", out)
	}
	if out := s.must(t, ":reload"); strings.Contains(out, "required") {
		t.Errorf("the reload answers\n%s", out)
	}
	if err := answers(s.at("/sso/realms/master"))(t.Context()); err != nil {
		t.Errorf("after the reload: %v", err)
	}

	// A reload that cannot succeed leaves the server as it was.
	s.must(t, "/subsystem=http/server=default-server/https-listener=https:write-attribute(name=certificate-file,value=missing.pem)")
	if out, err := s.cli("--command=:reload"); err == nil || !strings.Contains(out, "missing.pem") || !strings.Contains(out, "reload-required") {
		t.Errorf("a reload with a certificate that is not there: %v\n%s", err, out)
	}
	if err := answers(s.at("/sso/realms/master"))(t.Context()); err != nil {
		t.Errorf("after the failed reload: %v", err)
	}
	if out := s.must(t, ":revert(to=2)"); strings.Contains(out, "required") {
		t.Errorf("undone, the server still wants\n%s", out)
	}

	// Nothing invalid is kept.
	before, err := os.ReadFile(filepath.Join(s.dir, "standalone.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for command, reason := range map[string]string{
		`/subsystem=identity:write-attribute(name=display-name,value="${nowhere}")`:                                         "nowhere",
		"/subsystem=identity:write-attribute(name=features,value={nonsense=enabled})":                                       "nonsense",
		"/system-property=keycloak.profile.feature.upload_scripts:add(value=enabled)":                                       "scripts",
		"/subsystem=identity/spi=dblock/provider=jpa:map-put(name=properties,key=lockWaitTimeout,value=-1)":                 "lockWaitTimeout",
		"/subsystem=datasources/data-source=KeycloakDS:write-attribute(name=driver-name,value=oracle)":                      "oracle",
		"/socket-binding-group=standard-sockets/socket-binding=http:write-attribute(name=port,value=99999)":                 "99999",
		"/subsystem=identity:write-attribute(name=web-contxt,value=x)":                                                      "web-context",
		"/subsystem=http/server=default-server/http-listener=default:write-attribute(name=socket-binding,value=nosuch)":     "nosuch",
		"/subsystem=logging/root-logger=ROOT:write-attribute(name=level,value=LOUD)":                                        "LOUD",
		"/subsystem=http/server=default-server/https-listener=https:write-attribute(name=security-realm,value=NoSuchRealm)": "NoSuchRealm",
	} {
		if out, err := s.cli("--command=" + command); err == nil || !strings.Contains(out, reason) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if after, err := os.ReadFile(filepath.Join(s.dir, "standalone.toml")); err != nil || string(after) != string(before) {
		t.Errorf("refused changes are in the file: %v\n%s", err, after)
	}

	s.must(t, ":shutdown")
	eventually(t, "the server has stopped", func(ctx context.Context) error {
		if err := s.process.Process.Signal(syscall.Signal(0)); err == nil {
			return fmt.Errorf("it runs")
		}
		return nil
	})
}

func TestASecondServerInOneFolderIsRefused(t *testing.T) {
	s := startAlone(t, shortDir(t))
	out, err := exec.Command(s.binary, "start-dev", "--dir", s.dir, "--http-port", "0", "--health-port", "0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "already") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestEveryCommandOfTheGuideRunsOnALiveServer_InstallationGuide10 is the guide
// with --file against a server that runs; ** stands for the identity subsystem.
func TestEveryCommandOfTheGuideRunsOnALiveServer_InstallationGuide10(t *testing.T) {
	text, err := os.ReadFile("../cli/testdata/guide-commands.cli")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "<host_name>") || strings.Contains(line, "<profile_name>") || strings.HasPrefix(line, "embed-server") {
			continue // of a domain; of the offline mode
		}
		script.WriteString(strings.ReplaceAll(line, "**", "/subsystem=keycloak-server"))
	}
	file := filepath.Join(t.TempDir(), "guide.cli")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startAlone(t, shortDir(t))
	if out, err := s.cli("--file=" + file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	kept, err := os.ReadFile(filepath.Join(s.dir, "standalone.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`web-context = "myContext"`, "myProvider", "lockWaitTimeout", "https://auth.example.com", "proxy-mappings", "UndertowRealm"} {
		if !strings.Contains(string(kept), want) {
			t.Errorf("the file does not hold %s:\n%s", want, kept)
		}
	}
}

// TestProductionNeedsAHostnameAndACertificate holds what gatehouse start
// refuses, and that features are refused by name before anything is opened.
func TestProductionNeedsAHostnameAndACertificate(t *testing.T) {
	dir := shortDir(t)
	properties := filepath.Join(dir, "profile.properties")
	for _, c := range []struct {
		name, reason, features string
		args                   []string
	}{
		{"no hostname", "--hostname-strict=false", "", []string{"start", "--http-enabled"}},
		{"no certificate", "--https-certificate-file", "", []string{"start", "--hostname", "https://sso.example.com"}},
		{"half a certificate", "both", "", []string{"start", "--hostname-strict=false", "--https-certificate-file", "x.pem"}},
		{"an unknown feature", "nonsense", "", []string{"start-dev", "--features", "nonsense"}},
		{"a feature twice", "docker", "", []string{"start-dev", "--features", "docker", "--features-disabled", "docker"}},
		{"an unknown feature in profile.properties", "profile.properties", "feature.nonsense=enabled\n", []string{"start-dev"}},
		{"a feature without what it needs", "scripts", "feature.upload_scripts=enabled\n", []string{"start-dev"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(properties, []byte(c.features), 0o600); err != nil {
				t.Fatal(err)
			}
			args := append(c.args, "--dir", dir)
			for _, port := range []string{"--http-port", "--health-port", "--management-http-port"} {
				args = append(args, port, strconv.Itoa(porttest.Free(t)))
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, gatehouse(t), args...).CombinedOutput()
			if err == nil || ctx.Err() != nil || !strings.Contains(string(out), c.reason) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
