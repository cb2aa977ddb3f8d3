package operations

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// places names an address of each kind.
var places = map[shape]string{atRoot: "/", atGroup: "/server-group=g", atHost: "/host=h", atServer: "/host=h/server=s",
	atConfig: "/host=h/server-config=s", atAuthority: "/core-service=management/authority=domain", atLogging: "/host=h/server=s/subsystem=logging"}

func describedAt(t *testing.T, place string) *profiles.Description {
	t.Helper()
	at, err := profiles.ParseAddress(place)
	if err != nil {
		t.Fatal(err)
	}
	d, err := profiles.Domain.Describe(at)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryOperationThatIsCarriedOutIsDescribed(t *testing.T) {
	for at := atRoot; at <= atLogging; at++ {
		place, known := places[at]
		if !known || len(handlers(at)) == 0 {
			t.Fatalf("place %d has no address or no operations", at)
		}
		described := map[string]profiles.OperationDescription{}
		for _, od := range describedAt(t, place).AllOperations() {
			described[od.Name] = od
		}
		for name := range handlers(at) {
			od, ok := described[name]
			if !ok || od.Text == "" {
				t.Errorf("%s:%s has no description", place, name)
			}
			for _, p := range od.Params {
				if p.Text == "" || p.Type == "" {
					t.Errorf("%s:%s: the parameter %s has no description", place, name, p.Name)
				}
			}
		}
		// And the other way round: what is described as answered by what runs is.
		for name, od := range described {
			if od.Runtime && handlers(at)[name] == nil && !strings.HasSuffix(name, "-user") && !ofUsers[name] {
				t.Errorf("%s:%s is described and nobody answers", place, name)
			}
		}
	}
}

// ofUsers are answered by the management interface itself, see management/api.
var ofUsers = map[string]bool{"whoami": true, "list-users": true, "end-user-sessions": true, "set-user-password": true, "set-user-roles": true}

func TestEveryAttributeOfWhatRunsIsDescribed(t *testing.T) {
	server := running{"h", &hostlink.ServerStatus{StartedUnixMs: 1, Usage: &hostlink.ServerUsage{}}}.resource()
	d := &Desk{publisher: publisher.New(publisher.Config{})}
	for place, members := range map[string]map[string]any{
		places[atServer]: server, places[atHost]: d.hostRuntime("h"), places[atConfig]: {"status": ""},
	} {
		described := map[string]bool{}
		for _, a := range describedAt(t, place).Runtime {
			described[a.Name] = a.Text != ""
		}
		for name := range members {
			if !described[name] {
				t.Errorf("%s: the runtime attribute %s has no description", place, name)
			}
		}
	}
}
