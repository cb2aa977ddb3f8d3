package hostagent_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// An operator's second command comes right behind the first: a server that was
// added may be started, one that was changed is restarted with the change.
func TestAnOrderFindsWhatTheSnapshotBeforeItMade(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "the first snapshot", func(h *controllerlinktest.Host) bool { return h.Acked.GetRevision() == 1 })
	var names []string
	for revision := uint64(2); revision < 10; revision++ {
		added := fmt.Sprintf("server-%d", revision)
		names = append(names, added)
		c.Publish("host1", snapshotOf(t, revision, func(s *servergroups.HostSnapshot) {
			for i := range s.Servers {
				s.Servers[i].AutoStart = false
			}
		}, names...))
		order(t, c, "stop", added, nil)
	}
}
