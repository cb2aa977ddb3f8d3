package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// otherVersion is of the length of ownVersion, which stands in the program's file
// and is replaced there: a build of another version.
const otherVersion = "0.0.2-e2e"

// install puts a build of the program in its place as packages do: beside it,
// and renamed.
func (d *domain) install(version string) {
	d.t.Helper()
	text, err := os.ReadFile(gatehouse(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(ownVersion)) || len(version) != len(ownVersion) {
		d.t.Fatalf("the program under test does not say that it is %s", ownVersion)
	}
	d.binary = filepath.Join(d.dir, "gatehouse")
	text = bytes.ReplaceAll(text, []byte(ownVersion), []byte(version))
	if err := os.WriteFile(d.binary+".new", text, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(d.binary+".new", d.binary); err != nil {
		d.t.Fatal(err)
	}
}

// upgrade is the operator's one command, of the program that is installed.
func (d *domain) upgrade(args ...string) (string, error) {
	out, err := exec.Command(d.binary, append([]string{"rolling-upgrade", "--controller=" + d.socket()}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return string(out), err
}

// versions counts the hosts and servers by their version.
func (d *domain) versions() map[string]int {
	d.t.Helper()
	count := map[string]int{}
	for _, address := range []string{"/host=*:read-resource(include-runtime=true)", "/host=*/server=*:read-resource"} {
		out := string(d.must(address))
		for _, v := range []string{ownVersion, otherVersion} {
			count[v] += strings.Count(out, `"version": "`+v+`"`)
		}
	}
	return count
}

// A rolling upgrade is one command: agents first, then the servers of a group.
// Up, and down again, no request fails and nobody is logged out.
// GATEHOUSE_E2E_FULL=1 sends 10,000 requests meanwhile and watches each server as
// the default plan does.
func TestARollingUpgradeUnderLoadUpAndDownFailsNoRequestAndLogsNobodyOut(t *testing.T) {
	d := newDomain(t, twoHosts(2)...)
	d.install(ownVersion)
	d.boot()
	people := signIn(t, d.public(), 10)
	load := startLoad(t, people, 200)
	args := []string{"--group=" + identity}
	if !full {
		args = append(args, "--plan="+identity)
	}
	now, next := ownVersion, otherVersion
	for rounds := 1; ; rounds++ {
		before := d.pids()
		d.install(next)
		d.controller.stop(t)
		d.startController()
		begin := time.Now()
		out, err := d.upgrade(args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s -> %s in %s:\n%s", now, next, time.Since(begin).Round(10*time.Millisecond), out)
		for name, pid := range d.pids() {
			if (name == "balancer") != (pid == before[name]) {
				t.Errorf("%s is process %d, was %d", name, pid, before[name])
			}
		}
		want := map[string]int{ownVersion: 1, otherVersion: 0} // the balancer is as it was
		if want[next] += len(d.hosts) + 4; !maps.Equal(d.versions(), want) {
			t.Errorf("hosts and servers by version: %v, want %v", d.versions(), want)
		}
		if t.Failed() || rounds%2 == 0 && load.count() >= times(10000, 1500) {
			break
		}
		now, next = next, now
	}
	load.held()
	if n := load.repeated["502"]; n > 0 {
		t.Errorf("%d refreshes failed; a server that is restarted in order finishes what it has", n)
	}
	goOn(t, people)
	// Said twice, it changes nothing.
	before := d.pids()
	if out, err := d.upgrade("--group=" + identity); err != nil || !strings.Contains(out, "already") {
		t.Errorf("again: %v, %s", err, out)
	}
	for name, pid := range d.pids() {
		if pid != before[name] {
			t.Errorf("again, %s was restarted", name)
		}
	}
}

// Nobody replaced the program on the hosts: the first agent says so, and nothing
// else is touched.
func TestAnUpgradeToAProgramThatIsNotInstalledStopsAtTheFirstHost(t *testing.T) {
	d := newDomain(t, twoHosts(1)...)
	d.install(ownVersion)
	d.boot()
	before := d.pids()
	eventually(t, "a second has passed since the hosts connected", func(context.Context) error {
		out, err := d.upgrade("--to="+otherVersion, "--wait=3s")
		if err == nil || !strings.Contains(err.Error(), "host ") {
			t.Fatalf("%v, %s", err, out)
		}
		if !strings.Contains(err.Error(), "replace the program on that host") {
			return err
		}
		return nil
	})
	for name, pid := range d.pids() {
		if pid != before[name] {
			t.Errorf("%s was restarted", name)
		}
	}
}
