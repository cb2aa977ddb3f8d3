package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/management/access"
)

func TestAVisitorWaitsForANewLeaderAndNotForEver(t *testing.T) {
	for _, tt := range []struct {
		name   string
		calls  int32 // that find no leader
		waits  int   // of 100 ms each
		status int
	}{
		{"one is elected", 5, 5, http.StatusOK},
		{"none is", 1000, 30, http.StatusServiceUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := clocktest.New(clock.Real().Now()) // a browser's cookies go by the real time
			s := serve(t, fake)
			ann := s.signedIn("ann", access.Grant{Role: access.SuperUser})
			s.model.leaderless.Store(tt.calls)
			var status int
			var page string
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				var r *http.Response
				r, page = ann.get("/console/configuration?at=/profile%3Dweb")
				status = r.StatusCode
			}()
			for range tt.waits {
				fake.WaitForTimers(1)
				fake.Advance(100 * time.Millisecond)
			}
			<-answered
			if says := strings.Contains(page, "no controller leads"); status != tt.status || says != (tt.status != http.StatusOK) {
				t.Errorf("%d:\n%s", status, page)
			}
		})
	}
}
