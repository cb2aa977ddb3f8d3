package logs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestLinesOfTheirOwnAreWrittenAsTheyAre(t *testing.T) {
	dir, now := t.TempDir(), clocktest.New(time.Now())
	var told []string
	say := func(err error) { told = append(told, err.Error()) }
	blocked := filepath.Join(dir, "folder")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(blocked, "own.log") // below a file: not yet
	lines, err := logs.OpenLines(logs.File{Path: path, Private: true}, now, say)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if n, err := lines.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	write("lost\n")
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	now.Advance(5 * time.Second)
	write("no JSON, <and> \"as it is\"\n")
	if err := lines.Close(); err != nil {
		t.Error(err)
	}
	write("late\n")
	if err := lines.Close(); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); string(text) != "no JSON, <and> \"as it is\"\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if len(told) != 2 || !strings.Contains(told[0], "cannot write log file "+path) || !strings.HasSuffix(told[1], "lines lost: 1") {
		t.Errorf("told %q", told)
	}
}

func TestWhatIsNoPlaceForLinesIsRefused(t *testing.T) {
	for _, o := range []logs.Output{logs.Console{}, logs.File{}, logs.Syslog{Network: "pigeon"}} {
		if _, err := logs.OpenLines(o, clocktest.New(time.Now()), func(error) {}); !problem.Is(err, problem.Invalid) {
			t.Errorf("%#v: %v", o, err)
		}
	}
}
