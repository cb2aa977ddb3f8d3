package cli_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

func newSession(t *testing.T) *cli.Session {
	t.Helper()
	served := apitest.Serve(t, newModel(t, profiles.Domain))
	session := cli.NewSession(cli.Settings{
		Out: &strings.Builder{}, Err: &strings.Builder{}, Lazy: true, Format: cli.Text, Clock: clock.Real(),
		Connect: func(ctx context.Context, _ []string) (cli.Connection, error) {
			return dial(ctx, []string{served.Socket})
		},
	})
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func TestCompletionOffersWhatIsValidThere(t *testing.T) {
	session := newSession(t)
	if err := session.Line(t.Context(), "cd /profile=auth-server-clustered"); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ line, word, offers, not string }{
		{"/pro", "pro", "profile=", "host="},
		{"/profile=", "", "load-balancer", "identity"},
		{"/profile=load", "load", "load-balancer", "auth-server-clustered"},
		{"/profile=auth-server-clustered/sub", "sub", "subsystem=", "spi="},
		{"subsystem=id", "id", "identity", "caches"},
		{"subsystem=identity:write", "write", "write-attribute", "read-attribute"},
		{"subsystem=identity:write-attribute(", "", "name=", ""},
		{"subsystem=identity:write-attribute(name=web", "web", "web-context", "display-name"},
		{"subsystem=identity:write-attribute(name=web-context,val", "val", "value=", "name="},
		{":read-children-names(child-type=sub", "sub", "subsystem", ""},
		{"cd subsystem=i", "i", "identity", "caches"},
		{"ba", "ba", "batch", "cd"},
		{"if (outcome == success) of /hos", "hos", "host=", ""},
		{"/profile=nope/", "", "", "subsystem="},
	}
	for _, c := range cases {
		t.Run(c.line, func(t *testing.T) {
			start, candidates := session.Complete(t.Context(), c.line)
			var texts []string
			for _, one := range candidates {
				texts = append(texts, one.Text)
			}
			if c.offers != "" && (!slices.Contains(texts, c.offers) || c.line[start:] != c.word) {
				t.Errorf("offers %q for %q, want %q for %q", texts, c.line[start:], c.offers, c.word)
			}
			if c.not != "" && slices.Contains(texts, c.not) {
				t.Errorf("offers %q", c.not)
			}
		})
	}
}

func TestPromptIsTheGuides(t *testing.T) {
	session := newSession(t)
	steps := []struct{ line, prompt string }{
		{"", "[disconnected /] "},
		{"connect", "[domain@local /] "},
		{"cd /profile=auth-server-clustered/subsystem=keycloak-server", "[domain@local subsystem=identity] "},
		{"batch", "[domain@local subsystem=identity #] "},
		{"discard-batch", "[domain@local subsystem=identity] "},
		{"cd /", "[domain@local /] "},
		{"try", "  > "},
	}
	for _, s := range steps {
		if err := session.Line(t.Context(), s.line); err != nil {
			t.Fatalf("%s: %v", s.line, err)
		}
		if got := session.Prompt(); got != s.prompt {
			t.Errorf("after %q the prompt is %q, want %q", s.line, got, s.prompt)
		}
	}
}

// FuzzLine runs any line against a file: it must fail or succeed, never more.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		"/subsystem=keycloak-server/theme=defaults/:write-attribute(name=cacheThemes,value=false)",
		"if (outcome == success) of :read-resource\necho x\nend-if", "batch\n:whoami\nrun-batch", "set a=`:whoami`\necho $a",
		"ls -l", "cd ..", "for x in :read-children-types\necho $x\ndone", "edit-batch-line 1 :x",
	} {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "apply") || strings.Contains(text, "file") || strings.Contains(text, "embed") || strings.Contains(text, "-f") {
			t.Skip("reads files")
		}
		session := cli.NewSession(cli.Settings{Out: &strings.Builder{}, Err: &strings.Builder{}, Format: cli.Text, Dir: dir, Clock: clock.Real()})
		if err := session.Line(t.Context(), "embed-server"); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			_ = session.Line(t.Context(), strings.TrimSuffix(line, "\n"))
			_, _ = session.Complete(t.Context(), line)
			_ = session.Prompt()
		}
	})
}
