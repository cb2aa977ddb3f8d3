package trust_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli/trust"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const one, two = "sha256:1111", "sha256:2222"

func TestAControllerIsAskedAboutOnceAndRefusedWhenItChanges(t *testing.T) {
	known := trust.Known{Path: filepath.Join(t.TempDir(), "config", "known-controllers")}
	asked := 0
	answer := func(a trust.Answer) func(string, string) (trust.Answer, error) {
		return func(string, string) (trust.Answer, error) { asked++; return a, nil }
	}
	for _, step := range []struct {
		name, address, shown string
		ask                  func(string, string) (trust.Answer, error)
		asked                int
		kind                 problem.Kind // Internal: accepted
		says                 string
	}{
		{"nobody to ask", "c1:9990", one, nil, 0, problem.Invalid, "--fingerprint=" + one},
		{"no", "c1:9990", one, answer(trust.No), 1, problem.Unauthorized, "not accepted"},
		{"once", "c1:9990", one, answer(trust.Once), 2, 0, ""},
		{"asked again", "c1:9990", one, answer(trust.Always), 3, 0, ""},
		{"known", "c1:9990", one, nil, 3, 0, ""},
		{"another one", "c2:9990", two, answer(trust.Always), 4, 0, ""},
		{"changed", "c1:9990", two, answer(trust.Always), 4, problem.Unauthorized, "HAS CHANGED"},
		{"the first is still known", "c1:9990", one, nil, 4, 0, ""},
	} {
		err := known.Decide(step.address, step.shown, step.ask)
		if step.says == "" && err != nil || step.says != "" && (!problem.Is(err, step.kind) || !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %v", step.name, err)
		}
		if asked != step.asked {
			t.Errorf("%s: asked %d times, want %d", step.name, asked, step.asked)
		}
	}
	if err := known.Keep("c1:9990", two); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(known.Path)
	if err != nil || string(text) != "c2:9990 "+two+"\nc1:9990 "+two+"\n" {
		t.Errorf("the file: %q, %v", text, err)
	}
	if info, err := os.Stat(known.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode: %v, %v", info.Mode(), err)
	}
}

func TestAnswersAreThoseOfJbossCLIToo(t *testing.T) {
	for text, want := range map[string]trust.Answer{"n": trust.No, "T": trust.Once, "once": trust.Once, " P ": trust.Always, "always": trust.Always, "NO": trust.No} {
		if got, ok := trust.Read(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "maybe", "nope"} {
		if _, ok := trust.Read(text); ok {
			t.Errorf("%q is an answer", text)
		}
	}
}

// FuzzKnownControllers: whatever a person made of the file, an address that is
// kept is known afterwards, and the others are as known as before.
func FuzzKnownControllers(f *testing.F) {
	for _, file := range []string{
		"", "c1:9990 " + one + "\n", "c1:9990 " + one, "# mine\n\nc1:9990 " + two + "\r\nc2:9990 " + one + "\n", "c1:9990\n", "c1:9990 " + one + " x\n",
		"c1:9990 " + one + "\nc1:9990 " + two + "\n", "\x00\xff \u00a0\u2028\n", strings.Repeat("x", 70_000) + "\nc2:9990 " + two + "\n",
	} {
		f.Add(file, "c1:9990", two, "c2:9990")
	}
	path := filepath.Join(f.TempDir(), "known-controllers")
	f.Fuzz(func(t *testing.T, file, address, fingerprint, other string) {
		for _, word := range []string{address, fingerprint, other} {
			if fields := strings.Fields(word); len(fields) != 1 || fields[0] != word {
				return
			}
		}
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		known := trust.Known{Path: path}
		before, refused := known.Fingerprint(other)
		if refused != nil && before != "" {
			t.Errorf("both %q and %v", before, refused)
		}
		if err := known.Keep(address, fingerprint); err != nil {
			t.Fatal(err)
		}
		if got, err := known.Fingerprint(address); got != fingerprint || err != nil {
			t.Errorf("kept %q of %q; known is %q, %v", fingerprint, address, got, err)
		}
		if after, err := known.Fingerprint(other); other != address && (after != before || err != nil) {
			t.Errorf("%q was known by %q, %v; it is by %q, %v", other, before, refused, after, err)
		}
	})
}
