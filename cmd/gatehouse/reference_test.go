package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// TestTheReferenceIsTheSameEachTime: make lint compares it with what is kept.
func TestTheReferenceIsTheSameEachTime(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	t.Setenv("KC_HOSTNAME", "https://from-the-environment.example.com")
	for _, dir := range dirs {
		var errs bytes.Buffer
		if code := run(t.Context(), Env{Args: []string{"reference", dir}, Stdout: &errs, Stderr: &errs, Getenv: func(string) string { return "" }, Clock: clock.Real()}); code != 0 {
			t.Fatal(errs.String())
		}
		t.Chdir(dir) // it depends on no place
	}
	made, err := os.ReadDir(dirs[0])
	if err != nil || len(made) == 0 {
		t.Fatal(err)
	}
	for _, file := range made {
		first, err := os.ReadFile(filepath.Join(dirs[0], file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		second, err := os.ReadFile(filepath.Join(dirs[1], file.Name()))
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s differs the second time (%v)", file.Name(), err)
		}
		for _, foreign := range []string{dirs[0], dirs[1], "from-the-environment"} {
			if strings.Contains(string(first), foreign) {
				t.Errorf("%s holds %q", file.Name(), foreign)
			}
		}
	}
}

func TestEveryKindOfProblemIsExplained(t *testing.T) {
	if len(meanings) != int(problem.Unsupported)+1 {
		t.Fatalf("%d meanings", len(meanings))
	}
	for i, meaning := range meanings {
		if meaning == "" {
			t.Errorf("%v has no meaning", problem.Kind(i))
		}
	}
}
