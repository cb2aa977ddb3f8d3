package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A rolling restart fails no request and logs nobody out. GATEHOUSE_E2E_FULL=1
// sends 10,000 requests meanwhile.
func TestARollingRestartUnderLoadFailsNoRequestAndLogsNobodyOut(t *testing.T) {
	d := newDomain(t, twoHosts(2)...)
	d.boot()
	people := signIn(t, d.public(), 10)
	load := startLoad(t, people, 200)
	for rounds := 1; ; rounds++ {
		before := d.pids()
		begin := time.Now()
		d.must("/server-group=auth-server-group:rolling-restart{rollout auth-server-group}")
		t.Logf("restarted 4 servers on 2 hosts in %s", time.Since(begin).Round(time.Millisecond))
		for name, pid := range d.pids() {
			if (name == "balancer") != (pid == before[name]) {
				t.Errorf("%s is process %d, was %d", name, pid, before[name])
			}
		}
		if t.Failed() || load.count() >= times(10000, 1000) && rounds >= times(2, 1) {
			break
		}
	}
	load.held()
	if n := load.repeated["502"]; n > 0 {
		t.Errorf("%d refreshes failed; a server that is restarted in order finishes what it has", n)
	}
	goOn(t, people)
}

// A rollout is a record of the domain: the controller that comes next goes on
// with it, and requests never notice.
func TestARollingRestartGoesOnAfterTheControllerWasKilled(t *testing.T) {
	d := newDomain(t, twoHosts(2)...)
	d.boot()
	people := signIn(t, d.public(), 5)
	load := startLoad(t, people, 100)
	before := d.pids()
	broken := make(chan error, 1)
	go func() {
		_, err := d.try("/server-group=auth-server-group:rolling-restart{rollout auth-server-group(soak=1s)}") // it is not over before the kill
		broken <- err
	}()
	eventually(t, "the first server is restarted", func(context.Context) error {
		if pid := d.pids()["server-1"]; pid == 0 || pid == before["server-1"] {
			return fmt.Errorf("server-1 is process %d", pid)
		}
		return nil
	})
	d.controller.kill()
	if err := <-broken; err == nil {
		t.Errorf("the operator was told that the rollout is done")
	}
	d.startController()
	took := eventually(t, "all four are restarted", func(context.Context) error {
		for name, pid := range d.pids() {
			if name != "balancer" && (pid == 0 || pid == before[name]) {
				return fmt.Errorf("%s is process %d, was %d", name, pid, before[name])
			}
		}
		return nil
	})
	t.Logf("the next controller was through after %s", took.Round(time.Millisecond))
	load.held()
	if n := load.repeated["502"]; n > 0 {
		t.Errorf("%d refreshes failed", n)
	}
	goOn(t, people)
}

// A host that is cut off while a change is carried to the servers is waited
// for; nobody has to do anything when it is back. GATEHOUSE_E2E_FULL=1 cuts it
// off for 60 s.
func TestARolloutWaitsForAHostThatIsCutOffAndItCatchesUpAlone(t *testing.T) {
	n := newNetwork(t, 2)
	d := newDomain(t, twoHosts(2)...)
	d.net = n
	d.boot()
	people := signIn(t, d.public(), 5)
	before := d.pids()
	load := startLoad(t, people, 50)

	n.cut(2)
	cut := time.Now()
	d.must(identitySubsystem + `:write-attribute(name=display-name,value="Cut off")`) // no host holds up a change
	rolled := make(chan error, 1)
	go func() {
		_, err := d.try("/server-group=auth-server-group:rolling-restart{rollout auth-server-group}")
		rolled <- err
	}()
	eventually(t, "server-2 is restarted", func(context.Context) error {
		if pid := d.pid(d.hosts[0], d.hosts[0].servers[2]); pid == 0 || pid == before["server-2"] {
			return fmt.Errorf("it is process %d", pid)
		}
		return nil
	})
	// Long enough that the controller has noticed.
	eventually(t, "the domain sees that second is away", func(context.Context) error {
		out, err := d.try(":hosts")
		if err == nil && strings.Count(string(out), `"connected": true`) != 1 {
			err = fmt.Errorf("%s", out)
		}
		return err
	})
	select {
	case err := <-rolled:
		t.Fatalf("the rollout is over while host second is cut off: %v", err)
	case <-time.After(time.Until(cut.Add(time.Duration(times(60, 6)) * time.Second))):
	}
	if now := d.pids(); now["server-3"] != before["server-3"] || now["server-4"] != before["server-4"] {
		t.Errorf("servers of the host that is cut off were restarted: %v, were %v", now, before)
	}
	n.mend(2)
	begin := time.Now()
	select {
	case err := <-rolled:
		if err != nil {
			t.Errorf("the rollout failed: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the rollout does not end")
	}
	t.Logf("the host was back, had the change and was restarted %s after its link", time.Since(begin).Round(time.Millisecond))
	for name, pid := range d.pids() {
		if (name == "balancer") != (pid == before[name]) {
			t.Errorf("%s is process %d, was %d", name, pid, before[name])
		}
	}
	d.shows("Cut off")
	load.held()
	goOn(t, people)
}

// A plan that tolerates a failed server goes on without the host, which takes
// the change when it is back.
func TestARolloutSkipsAHostThatIsCutOffWhereItsPlanSaysSo(t *testing.T) {
	if !full {
		t.Skip("waits 30 s for a host that does not come; run with GATEHOUSE_E2E_FULL=1")
	}
	n := newNetwork(t, 2)
	d := newDomain(t, twoHosts(1)...)
	d.net = n
	d.boot()
	n.cut(2)
	_, err := d.try(identitySubsystem + `:write-attribute(name=display-name,value="Skipped"){rollout auth-server-group(max-failed-servers=1)}`)
	if err != nil {
		t.Errorf("the rollout failed: %v", err)
	}
	n.mend(2)
	d.shows("Skipped")
}
