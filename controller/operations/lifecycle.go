package operations

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// lifecycle are the orders that an operator can give for a server; with
// "-servers" behind it, for all servers of a host, a group or the domain.
var lifecycle = []string{"start", "stop", "restart", "reload", "suspend", "resume", "kill", "destroy"}

// orderTimeout is how long a host may take for one of them, beside the time that
// the operation gives requests in flight: a server's own graceful stop (30 s)
// and start.
const orderTimeout = 60 * time.Second

// outcome is what came of an order for one server.
type outcome struct {
	Host    string `json:"host"`
	Server  string `json:"server"`
	Outcome string `json:"outcome"`
	Problem string `json:"failure-description,omitempty"`
}

// manyServers gives the servers below the operation's address an order, all at
// once. One server's failure does not keep the others from theirs.
func (d *Desk) manyServers(ctx context.Context, r request) (api.Response, error) {
	kind := strings.TrimSuffix(r.op.Name, "-servers")
	list := d.below(r.op.Address)
	if len(list) == 0 {
		return api.Response{}, problem.NotFound.Errorf("cannot %s: there is no server at %s", kind, r.op.Address)
	}
	outcomes := make([]outcome, len(list))
	errs := make([]error, len(list))
	var orders sync.WaitGroup
	for i, s := range list {
		orders.Go(func() {
			if kind != "kill" && kind != "destroy" { // these wait for nobody
				d.publisher.Settle(ctx, s.host)
			}
			_, errs[i] = d.publisher.Order(ctx, s.host, publisher.Order{Kind: kind, Server: s.name, Timeout: orderTimeout + r.grace(), Parameters: r.op.Params})
			outcomes[i] = outcome{Host: s.host, Server: s.name, Outcome: "success"}
			if errs[i] != nil {
				outcomes[i].Outcome, outcomes[i].Problem = "failed", errs[i].Error()
			}
		})
	}
	orders.Wait()
	if err := d.keepStatus(ctx, r, kind, list, errs); err != nil {
		return api.Response{Result: outcomes}, err
	}
	if single := len(list) == 1 && !r.op.Address.HasWildcard(); single && shapeOf(r.op.Address) >= atServer {
		return api.Response{Result: d.stateOf(list[0])}, errs[0]
	}
	for _, err := range errs {
		if err != nil {
			return api.Response{Result: outcomes}, problem.KindOf(err).Errorf("cannot %s all servers: %s", kind, failures(outcomes))
		}
	}
	return api.Response{Result: outcomes}, nil
}

func failures(list []outcome) string {
	var texts []string
	for _, o := range list {
		if o.Problem != "" {
			texts = append(texts, o.Host+"/"+o.Server+": "+o.Problem)
		}
	}
	return strings.Join(texts, "; ")
}

// stateOf is WildFly's answer to start, stop and the like: the server's state.
func (d *Desk) stateOf(s server) string {
	for _, r := range d.reported(s.host) {
		if r.status.Name == s.name {
			return r.status.State
		}
	}
	return "STOPPED"
}

// below lists the configured servers that an address covers.
func (d *Desk) below(a profiles.Address) []server {
	all := servers(d.Tree())
	at := shapeOf(a)
	return slices.DeleteFunc(all, func(s server) bool {
		switch at {
		case atGroup:
			return a[0].Name != profiles.Wildcard && a[0].Name != s.group
		case atHost:
			return a[0].Name != profiles.Wildcard && a[0].Name != s.host
		case atServer, atConfig:
			config := profiles.Address{{Type: a[0].Type, Name: s.host}, {Type: a[1].Type, Name: s.name}}
			return !a.Matches(config)
		}
		return false
	})
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
