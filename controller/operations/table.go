package operations

import (
	"context"
	"strings"

	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// shape is the kind of place that an address names.
type shape uint8

const (
	elsewhere shape = iota
	atRoot
	atGroup
	atHost
	atServer    // /host=x/server=y: what runs
	atConfig    // /host=x/server-config=y: how it is started
	atAuthority // /core-service=management/authority=domain
	atLogging   // /host=x/server=y/subsystem=logging: what it wrote
)

func shapeOf(a profiles.Address) shape {
	types := make([]string, len(a))
	for i, e := range a {
		types[i] = e.Type
	}
	switch strings.Join(types, "/") {
	case "":
		return atRoot
	case "server-group":
		return atGroup
	case "host":
		return atHost
	case "host/server":
		return atServer
	case "host/server-config":
		return atConfig
	case "core-service/authority":
		return atAuthority
	case "host/server/subsystem":
		return atLogging
	}
	return elsewhere
}

type handler func(*Desk, context.Context, request) (api.Response, error)

// carryOut finds what an operation means at its address.
func (d *Desk) carryOut(ctx context.Context, r request) (api.Response, error) {
	run := own(shapeOf(r.op.Address), r.op.Name)
	if run == nil {
		return d.configure(ctx, r)
	}
	var err error
	if r.op.Params, err = profiles.Domain.Parameters(r.op); err != nil {
		return api.Response{}, err
	}
	return run(d, ctx, r)
}

// own gives what this package itself does for an operation, nil when it is one
// of the configuration.
func own(at shape, name string) handler { return handlers(at)[name] }

// handlers are the operations that are carried out here at a kind of place. Each
// is described in package profiles.
func handlers(at shape) map[string]handler {
	switch at {
	case atRoot:
		return withOrders("-servers", map[string]handler{
			"composite": (*Desk).composite, "support-bundle": (*Desk).supportBundle, "rolling-restart": (*Desk).rollingRestart,
			"history": (*Desk).history, "diff": (*Desk).diff, "revert": (*Desk).revert, "apply": (*Desk).applyTOML,
			"read-config-as-toml": (*Desk).readTOML, "rollouts": (*Desk).rollouts,
			"hosts": (*Desk).hosts, "add-host": (*Desk).addHost, "remove-host": (*Desk).removeHost,
			"register-host": (*Desk).registerHost, "revoke": (*Desk).revoke,
			"controllers": (*Desk).controllers, "add-controller": (*Desk).addController,
			"remove-controller": (*Desk).removeController, "transfer-leadership": (*Desk).transfer,
			"rotate-authority": (*Desk).rotateAuthority,
		})
	case atGroup:
		return withOrders("-servers", map[string]handler{"rolling-restart": (*Desk).rollingRestart})
	case atHost:
		return withOrders("-servers", map[string]handler{
			"support-bundle": (*Desk).supportBundle, "reload": (*Desk).hostOrder, "shutdown": (*Desk).hostOrder,
			"read-resource": (*Desk).readConfigured, "read-attribute": (*Desk).readConfigured,
			"read-children-names": (*Desk).readHostChildren, "read-children-resources": (*Desk).readHostChildren,
		})
	case atServer:
		return withOrders("", map[string]handler{
			"read-log": (*Desk).readLog, "read-resource": (*Desk).readServer, "read-attribute": (*Desk).readServer})
	case atConfig:
		return withOrders("", map[string]handler{
			"read-log": (*Desk).readLog, "read-resource": (*Desk).readConfigured, "read-attribute": (*Desk).readConfigured})
	case atAuthority:
		return map[string]handler{"read-resource": (*Desk).readAuthority, "read-attribute": (*Desk).readAuthority}
	case atLogging:
		return map[string]handler{"list-log-files": (*Desk).logFiles, "read-log-file": (*Desk).logFiles}
	}
	return nil
}

// withOrders adds the orders that an operator can give for servers.
func withOrders(suffix string, to map[string]handler) map[string]handler {
	for _, order := range lifecycle {
		to[order+suffix] = (*Desk).manyServers
	}
	return to
}
