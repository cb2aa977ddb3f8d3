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
