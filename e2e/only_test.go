package e2e

import (
	"context"
	"fmt"
	"testing"
)

// With one server there is nobody to send a request to while it restarts: the
// balancer holds it until the server is back.
func TestTheOnlyServerRestartsUnderLoadAndNoRequestFails(t *testing.T) {
	d := newDomain(t, host{name: "master", servers: []server{{"balancer", balancers, 0}, {"server-1", identity, 1}}})
	d.boot()
	d.must("/profile=load-balancer/subsystem=http/configuration=handler/reverse-proxy=lb-handler:write-attribute(name=max-queue-time,value=30000)") // on a busy machine a start is slow
	people := signIn(t, d.public(), 10)
	load := startLoad(t, people, times(100, 25))
	only := d.hosts[0].servers[1]
	more := func(what string) {
		t.Helper()
		before := load.count()
		eventually(t, what, func(context.Context) error {
			if n := load.count() - before; n < times(200, 25) {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		})
	}
	for i := range times(10, 1) {
		more("the load goes on")
		before := d.pid(d.hosts[0], only)
		if i%2 == 1 {
			d.must("/host=master/server=server-1:restart(blocking=true)")
		} else {
			killServer(t, before)
		}
		more("the load goes on after it")
		if now := d.pid(d.hosts[0], only); now == before {
			t.Errorf("it is process %d still", now)
		}
	}
	load.held()
	goOn(t, people)
}
