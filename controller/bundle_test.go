package controller_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli"
	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// unpack reads a .tar.gz: names below its one folder, and texts.
func unpack(t *testing.T, data []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name] = string(text)
	}
}

func TestASupportBundleTellsAllButTheSecrets(t *testing.T) {
	p := start(t, controller.Config{Recent: func() []byte {
		return []byte(`{"message":"connected to postgres://gatehouse:top-secret-5@db","token-secret":"top-secret-6"}` + "\n")
	}})
	roster(t, p)
	p.do("add", "/profile=web/subsystem=datasources")
	p.do("add", "/profile=web/subsystem=datasources/data-source=db", "jndi-name", "java:jboss/datasources/db", "driver-name", "postgresql", "password", "top-secret-1",
		"connection-url", "postgres://gatehouse:top-secret-2@db:5432/x?password=top-secret-3")
	p.do("write-attribute", "/profile=web/subsystem=datasources/data-source=db", "name", "password", "value", "top-secret-4")

	target := "bundle.tar.gz"
	dir := t.TempDir()
	var out, errs bytes.Buffer
	run := func(line string) error {
		out.Reset()
		return shell(t, p, dir, &out, &errs, line)
	}
	if err := run(":support-bundle(file=" + target + ")"); err != nil {
		t.Fatal(err, out.String(), errs.String())
	}
	data, err := os.ReadFile(filepath.Join(dir, target))
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, data)
	for name, has := range map[string]string{
		"domain.toml": "web-context", "history.json": `"author"`, "rollouts.json": "[", "hosts.json": `"h1"`, "servers.json": "STARTED", "controllers.json": `"c1"`,
		"replication.json": `"leader"`, "controllers/c1/goroutines.txt": "goroutine ",
		"controllers/c1/state.json": `"leads": true`, "controllers/c1/controller.log": "gatehouse:***", "hosts/h1.tar.gz": "bundle of h1", "hosts/h2.tar.gz": "bundle of h2",
	} {
		if name != "domain.toml" && !strings.Contains(files[name], has) {
			t.Errorf("%s lacks %s: %.200s", name, has, files[name])
		}
	}
	if !strings.Contains(files["domain.toml"], "[profile.web") {
		t.Errorf("domain.toml: %.300s", files["domain.toml"])
	}
	for name, text := range files {
		if i := strings.Index(text, "top-secret"); i >= 0 {
			t.Errorf("%s tells a secret: ...%s", name, text[max(0, i-80):i+12])
		}
	}
	if err := run("support-bundle " + target); !problem.Is(err, problem.Conflict) {
		t.Errorf("a file that exists: %v", err)
	}
	// One host's, under a name of its own; nothing else is left in the folder.
	if err := run("support-bundle --host=h2"); err != nil || !strings.Contains(out.String(), "gatehouse-support-") {
		t.Errorf("of one host: %v, %s", err, out.String())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files %v, %v", entries, err)
	}
	if err := run("/host=nobody:support-bundle"); err == nil {
		t.Error("a bundle of a host that is not there")
	}
	// Without a follower it is in the answer.
	r, err := p.execute(t.Context(), profiles.Operation{Name: "support-bundle", Address: profiles.Address{{Type: "host", Name: "h1"}}})
	if err != nil {
		t.Fatal(err)
	}
	var whole struct{ Content []byte }
	decode(t, r.Result, &whole)
	if only := unpack(t, whole.Content); len(only) != 1 || only["hosts/h1.tar.gz"] != "bundle of h1" {
		t.Errorf("of h1: %v", only)
	}
}

// shell runs a line of the command line against a controller.
func shell(t *testing.T, p *process, dir string, out, errs io.Writer, line string) error {
	t.Helper()
	connection, err := cli.NewConnection(t.Context(), p.dial(), "local")
	if err != nil {
		t.Fatal(err)
	}
	s := cli.NewSession(cli.Settings{Out: out, Err: errs, Dir: dir, Clock: clock.Real()})
	if err := s.Use(connection); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return s.Line(t.Context(), line)
}
