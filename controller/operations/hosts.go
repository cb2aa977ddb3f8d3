package operations

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// skewLimit is how far a host's clock may be from ours before it is warned of:
// certificates, codes and tokens are checked against clocks.
const skewLimit = 500 * time.Millisecond

// hostOrder has the agents of hosts start their services anew, or end:
// /host=x:reload leaves the servers as they are; /host=x:shutdown stops them
// and the agent; /host=x:shutdown(restart=true) leaves them and starts the
// agent's program anew, as it is installed then.
func (d *Desk) hostOrder(ctx context.Context, r request) (api.Response, error) {
	names := []string{r.op.Address[0].Name}
	if r.op.Address.HasWildcard() {
		names = d.Tree().Names(nil, "host")
	}
	if len(names) == 0 || !d.Tree().Has(profiles.Address{{Type: "host", Name: names[0]}}) {
		return api.Response{}, problem.NotFound.Errorf("cannot %s %s: there is no such host (hosts: %v)", r.op.Name, r.op.Address, d.Tree().Names(nil, "host"))
	}
	errs := make([]error, len(names))
	var orders sync.WaitGroup
	for i, name := range names {
		orders.Go(func() {
			_, errs[i] = d.publisher.Order(ctx, name, publisher.Order{Kind: "host-" + r.op.Name, Timeout: orderTimeout, Parameters: r.op.Params})
		})
	}
	orders.Wait()
	return api.Response{}, firstError(errs)
}

// hostRuntime is what is known of a host beside its configuration.
func (d *Desk) hostRuntime(name string) map[string]any {
	s, _ := d.publisher.Host(name)
	state := "disconnected"
	if s.Connected {
		state = "running" // WildFly's word
	}
	out := map[string]any{
		"host-state": state, "version": s.Version, "address": s.Address, "applied-revision": s.Revision,
		"clock-skew-ms": s.Skew.Milliseconds(), "warnings": hostWarnings(s),
	}
	if !s.Since.IsZero() {
		out["since"] = s.Since.UTC().Format(time.RFC3339)
	}
	if f := s.Facts; f != nil {
		out["cores"], out["memory-bytes"], out["disk-free-bytes"] = f.GetCores(), f.GetMemoryBytes(), f.GetDiskFreeBytes()
		out["operating-system"], out["pid"] = f.GetOs(), f.GetPid()
	}
	return out
}

// hostWarnings are what an operator should look at, for people.
func hostWarnings(s publisher.HostState) []string {
	list := []string{}
	if s.Skew.Abs() > skewLimit {
		way := "ahead of"
		if s.Skew < 0 {
			way = "behind"
		}
		list = append(list, fmt.Sprintf("its clock is %s %s the controller's (more than %s); see that its time service runs", s.Skew.Abs().Round(time.Millisecond), way, skewLimit))
	}
	if s.Problem != "" {
		list = append(list, "it refused its newest configuration: "+s.Problem)
	}
	return list
}

// keepStatus makes what was ordered what happens at the host's next start, for
// servers that want it so: update-auto-start-with-server-status. It is one
// revision for all of them.
func (d *Desk) keepStatus(ctx context.Context, r request, kind string, list []server, errs []error) error {
	on := kind == "start" || kind == "restart"
	if !on && !slices.Contains([]string{"stop", "kill", "destroy"}, kind) {
		return nil
	}
	t := d.Tree()
	var steps []profiles.Operation
	for i, s := range list {
		at := profiles.Address{{Type: "host", Name: s.host}, {Type: "server-config", Name: s.name}}
		if errs[i] == nil && t.Value(at, "update-auto-start-with-server-status") == true && t.Value(at, "auto-start") != on {
			steps = append(steps, profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": "auto-start", "value": on}})
		}
	}
	if len(steps) == 0 {
		return nil
	}
	_, err := d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		next, _, _, err := profiles.Apply(s.Tree(), profiles.Composite(steps...))
		return next, nil, err
	})
	return err
}

// grace is what the operation gives requests in flight, 0 where it says nothing.
func (r request) grace() time.Duration {
	for _, name := range []string{"suspend-timeout", "timeout"} {
		if n := r.number(name, 0); n > 0 {
			return time.Duration(n) * time.Second
		}
	}
	return 0
}
