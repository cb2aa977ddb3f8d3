package hostagent_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
)

// versionMark comes before the version at the end of a program's file; what
// follows a program in its file is not read when it runs, elf(5).
const versionMark = "\nversion="

// ownVersion is that of the program that runs here; "" of the test's own.
func ownVersion() string {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return ""
	}
	at := bytes.LastIndex(text, []byte(versionMark))
	if at < len(text)-len(versionMark)-8 {
		return ""
	}
	return string(text[at+len(versionMark):])
}

// install puts a program of a version in its place as packages do: beside it,
// and renamed.
func install(t *testing.T, path, version string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", append(text, versionMark+version...), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestAReplacedProgramIsTakenIntoUseByARestartAndByNothingElse(t *testing.T) {
	program := filepath.Join(t.TempDir(), "gatehouse")
	install(t, program, "1.0.0")
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address, Program: program, Keep: true}
	ended, agents := again(t, h)
	<-agents
	is := func(one, two string) {
		t.Helper()
		c.Await("host1", "versions "+one+" and "+two, func(h *controllerlinktest.Host) bool {
			return up("one", "two")(h) && h.Server("one").GetVersion() == one && h.Server("two").GetVersion() == two
		})
	}
	is("1.0.0", "1.0.0")
	pid, boot := pidOf(c, "one"), bootOf(c)
	install(t, program, "1.0.1")
	order(t, c, "host-reload", "", nil) // another agent adopts both
	<-agents
	c.Await("host1", "another agent", func(h *controllerlinktest.Host) bool { return h.Hello.GetBoot() != boot })
	is("1.0.0", "1.0.0")
	order(t, c, "restart", "two", nil)
	is("1.0.0", "1.0.1")
	if pidOf(c, "one") != pid {
		t.Error("the server that was not restarted has another process")
	}
	// Between the old file and the new one there may be none.
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	order(t, c, "restart", "two", nil)
	is("1.0.0", "")
	order(t, c, "host-shutdown", "", nil)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
