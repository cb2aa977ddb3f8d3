package operations

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// running is a server as its host reports it.
type running struct {
	host   string
	status *hostlink.ServerStatus
}

// reported lists the servers that hosts report, by host and name, of one host or
// of all ("").
func (d *Desk) reported(host string) []running {
	states, _ := d.publisher.Hosts()
	var list []running
	for name, s := range states {
		if host != "" && host != profiles.Wildcard && host != name {
			continue
		}
		for _, status := range s.Servers {
			list = append(list, running{name, status})
		}
	}
	slices.SortFunc(list, func(a, b running) int {
		if c := strings.Compare(a.host, b.host); c != 0 {
			return c
		}
		return strings.Compare(a.status.Name, b.status.Name)
	})
	return list
}

// resource is the server as a resource of the model.
func (r running) resource() map[string]any {
	s := r.status
	state := "running" // WildFly's words, where it has one
	switch {
	case s.Required != "":
		state = s.Required
	case s.State != "STARTED":
		state = strings.ToLower(s.State)
	}
	ports := map[string]any{}
	for name, port := range s.Ports {
		ports[name] = int64(port)
	}
	out := map[string]any{
		"name": s.Name, "host": r.host, "server-group": s.Group, "profile-name": s.Profile,
		"server-state": state, "status": s.State, "healthy": s.Healthy, "revision": s.Revision,
		"node": s.Node, "site": s.Site, "address": s.Address, "ports": ports, "pid": s.Pid, "restarts": s.Restarts,
		"since": time.UnixMilli(s.SinceUnixMs).UTC().Format(time.RFC3339), "message": s.Message,
		"cluster-members": append([]string{}, s.Members...), "version": s.Version,
	}
	if s.StartedUnixMs > 0 {
		out["started"] = time.UnixMilli(s.StartedUnixMs).UTC().Format(time.RFC3339)
	}
	if e := s.Exit; e != nil {
		out["last-exit"] = exitOf(e)
	}
	if u := s.Usage; u != nil {
		usage := map[string]any{"cpu-seconds": u.CpuSeconds, "resident-bytes": u.ResidentBytes, "open-files": u.OpenFiles, "connections": u.Connections,
			"requests": u.Requests, "errors": u.Errors, "requests-per-second": u.RequestsPerSecond, "errors-per-second": u.ErrorsPerSecond}
		if u.GroupMemoryBytes > 0 {
			usage["group-memory-bytes"], usage["group-cpu-seconds"] = u.GroupMemoryBytes, u.GroupCpuSeconds
		}
		if list := seen(u); len(list) > 0 {
			usage["backends"] = list
		}
		out["usage"] = usage
	}
	return out
}

// exitOf is how a server's last process ended.
func exitOf(e *hostlink.ServerExit) map[string]any {
	out := map[string]any{"at": time.UnixMilli(e.AtUnixMs).UTC().Format(time.RFC3339), "reason": e.Reason, "out-of-memory": e.OutOfMemory}
	switch {
	case e.Unknown:
	case e.Signal != "":
		out["signal"] = e.Signal
	default:
		out["code"] = e.Code
	}
	return out
}

// seen is what a load balancer saw of the servers behind it.
func seen(u *hostlink.ServerUsage) (list []any) {
	for _, b := range u.Backends {
		list = append(list, map[string]any{"node": b.Node, "requests": b.Requests, "errors": b.Errors, "overdue": b.Overdue})
	}
	return list
}

// readServer reads what runs: /host=x/server=y, either of them a wildcard.
func (d *Desk) readServer(_ context.Context, r request) (api.Response, error) {
	host, name := r.op.Address[0].Name, r.op.Address[1].Name
	answer := func(s running) (any, error) {
		resource := s.resource()
		if r.op.Name == "read-resource" {
			return resource, nil
		}
		v, ok := resource[r.text("name")]
		if !ok {
			return nil, problem.NotFound.Errorf("cannot read attribute %q of %s: there is none of that name", r.text("name"), r.op.Address)
		}
		return v, nil
	}
	list := []any{}
	for _, s := range d.reported(host) {
		if name != profiles.Wildcard && name != s.status.Name {
			continue
		}
		v, err := answer(s)
		if err != nil {
			return api.Response{}, err
		}
		if !r.op.Address.HasWildcard() {
			return api.Response{Result: v}, nil
		}
		at := profiles.Address{{Type: "host", Name: s.host}, {Type: "server", Name: s.status.Name}}
		list = append(list, map[string]any{"address": at, "outcome": "success", "result": v})
	}
	if !r.op.Address.HasWildcard() {
		return api.Response{}, problem.NotFound.Errorf("cannot find %s: host %s reports no server %q", r.op.Address, host, name)
	}
	return api.Response{Result: list}, nil
}

// asks reports whether a parameter that is a flag is set.
func asks(op profiles.Operation, flag string) bool {
	return op.Params[flag] == true || op.Params[flag] == "true"
}

// runtimeAttribute reports whether an operation reads an attribute that is known
// only of what runs.
func runtimeAttribute(op profiles.Operation) bool {
	d, err := profiles.Domain.Describe(op.Address)
	return err == nil && op.Name == "read-attribute" &&
		slices.ContainsFunc(d.Runtime, func(a profiles.Attribute) bool { return a.Name == op.Params["name"] })
}

// readConfigured reads a host or a server's configuration, either with wildcards,
// and what is known of it while it runs: all of it with include-runtime, one
// attribute by its name.
func (d *Desk) readConfigured(ctx context.Context, r request) (api.Response, error) {
	attribute := runtimeAttribute(r.op)
	if !attribute && (r.op.Name != "read-resource" || !asks(r.op, "include-runtime")) {
		return d.configure(ctx, r)
	}
	if attribute { // of those that are there
		r.op.Name, r.op.Params = "read-resource", map[string]any{"attributes-only": true, "name": r.text("name")}
	}
	name := r.text("name")
	delete(r.op.Params, "name")
	response, err := d.configure(ctx, r)
	if err != nil {
		return response, err
	}
	complete := func(at profiles.Address, resource any) any {
		running := d.runtimeOf(at)
		if attribute {
			return running[name]
		}
		members, _ := resource.(map[string]any)
		maps.Copy(members, running)
		return members
	}
	list, many := response.Result.([]any)
	if !many {
		response.Result = complete(r.op.Address, response.Result)
		return response, nil
	}
	for _, one := range list {
		entry := one.(map[string]any)
		entry["result"] = complete(addressOf(r.op.Address, entry["address"]), entry["result"])
	}
	return response, nil
}

// addressOf is the address of one answer to an operation with wildcards.
func addressOf(asked profiles.Address, answered any) profiles.Address {
	steps, _ := answered.([]any)
	at := slices.Clone(asked)
	for i, step := range steps {
		named, _ := step.(map[string]any)
		at[i].Name, _ = named[at[i].Type].(string)
	}
	return at
}

// runtimeOf is what is known of a host or a configured server while it runs.
func (d *Desk) runtimeOf(at profiles.Address) map[string]any {
	if len(at) == 1 {
		return d.hostRuntime(at[0].Name)
	}
	status := "STOPPED"
	for _, s := range d.reported(at[0].Name) {
		if s.status.Name == at[1].Name {
			status = s.status.State
		}
	}
	return map[string]any{"status": status}
}

// readHostChildren reads the running servers of a host; other children are in
// the model.
func (d *Desk) readHostChildren(ctx context.Context, r request) (api.Response, error) {
	if r.text("child-type") != "server" {
		return d.configure(ctx, r)
	}
	names, resources := []string{}, map[string]any{}
	for _, s := range d.reported(r.op.Address[0].Name) {
		names = append(names, s.status.Name)
		resources[s.status.Name] = s.resource()
	}
	if r.op.Name == "read-children-names" {
		return api.Response{Result: names}, nil
	}
	return api.Response{Result: resources}, nil
}
