package boot

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// dnsAgain is how often a dns-query is asked again: servers that come are found
// by those that are there, so only a cluster that fell apart waits for it.
const dnsAgain = 10 * time.Second

// discovery is how the servers of a site find each other: the stack that
// default-stack names.
type discovery struct {
	*cluster.Directory
	domain bool   // the domain says which servers there are
	query  string // of dns, host:port
}

// readDiscovery reads the stack. A stack that would find others by multicast
// asks the domain, which knows them all.
func readDiscovery(cfg servergroups.ServerConfig, port string) (discovery, error) {
	name := cfg.String("domain", "cluster", "default-stack")
	get := func(def, attribute string) string { return cfg.String(def, "cluster", "stack", name, attribute) }
	switch kind := get("domain", "discovery"); kind {
	case "static":
		hosts := cfg.List("cluster", "stack", name, "initial-hosts")
		for _, h := range hosts {
			if _, _, err := net.SplitHostPort(h); err != nil {
				return discovery{}, problem.Invalid.Errorf("cannot use initial-hosts of stack %q: %q is not host:port", name, h)
			}
		}
		return discovery{Directory: cluster.Static(hosts...)}, nil
	case "dns":
		query := get("", "dns-query")
		if query == "" {
			return discovery{}, problem.WithHint(problem.Invalid.Errorf("cannot find servers by stack %q: its discovery is dns, and it has no dns-query", name), "set /subsystem=cluster/stack=%s:dns-query to the name of all servers", name)
		}
		if _, _, err := net.SplitHostPort(query); err != nil {
			query = net.JoinHostPort(query, strconv.Itoa(cfg.Bindings[port].Port))
		}
		return discovery{Directory: cluster.NewDirectory(false), query: query}, nil
	default:
		return discovery{Directory: cluster.NewDirectory(true), domain: true}, nil
	}
}

// tasks ask the name again and again, where there is one.
func (d discovery) tasks(c clock.Clock, failed func(error)) []tasks.Task {
	if d.query == "" {
		return nil
	}
	return []tasks.Task{{Name: "discovery", Run: func(ctx context.Context) error {
		for {
			if err := d.ask(ctx, net.DefaultResolver.LookupHost); err != nil && ctx.Err() == nil {
				failed(err)
			}
			if err := clock.Sleep(ctx, c, dnsAgain); err != nil {
				return err
			}
		}
	}}}
}

// ask takes over all addresses of the query; when nobody answers, those known
// stay.
func (d discovery) ask(ctx context.Context, lookup func(context.Context, string) ([]string, error)) error {
	host, port, err := net.SplitHostPort(d.query)
	if err != nil {
		return err
	}
	hosts, err := lookup(ctx, host)
	if err != nil {
		return problem.Unavailable.Errorf("cannot find other servers by %s: %w", d.query, err)
	}
	addresses := make([]string, len(hosts))
	for i, h := range hosts {
		addresses[i] = net.JoinHostPort(h, port)
	}
	slices.Sort(addresses)
	d.Set(addresses)
	return nil
}
