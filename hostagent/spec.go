package hostagent

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// What a server finds in its environment; the spawn token is the first line of
// its standard input, and an end of file instead tells it to end.
const (
	EnvRelay  = "GATEHOUSE_RELAY"  // path of the agent's socket
	EnvServer = "GATEHOUSE_SERVER" // the server's name
	EnvHost   = "GATEHOUSE_HOST"   // the host's name
	EnvSite   = "GATEHOUSE_SITE"   // the host's site; with the above for the server's first log lines
)

// agentsOwn is what systemd gives the agent and means for it alone, sd_notify(3).
var agentsOwn = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}

func (a *Agent) serverDir(name string) string {
	return filepath.Join(a.config.Dir, "servers", url.PathEscape(name))
}

// specOf is how a server's process is run.
func (a *Agent) specOf(c servergroups.ServerConfig) supervisor.Spec {
	env := slices.DeleteFunc(slices.Clone(a.config.Env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return slices.Contains(agentsOwn, name)
	})
	for _, name := range sortedNames(c.Process.Environment) {
		env = append(env, name+"="+c.Process.Environment[name])
	}
	env = append(env, EnvRelay+"="+a.socket, EnvServer+"="+c.Name,
		EnvHost+"="+c.Host, EnvSite+"="+c.Site)
	return supervisor.Spec{
		Name: c.Name, Dir: a.serverDir(c.Name), Env: env, MemoryLimit: c.Process.MemoryLimit,
		// The name is for people who list the machine's processes.
		Command:   append(append(slices.Clone(a.config.Command), c.Name), c.Process.Arguments...),
		Spare:     a.config.Spare,
		LastWords: a.lastWords(c.Name),
		Ports:     portsOf(c), AutoStart: c.AutoStart, Restart: supervisor.Policy(c.Restart), Live: a.liveness(c),
	}
}

// lastWords reads what a server wrote down when it ended.
func (a *Agent) lastWords(name string) func(int, time.Time) (int, bool) {
	dir := a.serverDir(name)
	return func(pid int, since time.Time) (code int, found bool) {
		e, found := relaypb.EndingOf(dir, pid, since)
		return e.Code, found
	}
}

func portsOf(c servergroups.ServerConfig) []supervisor.Port {
	var ports []supervisor.Port
	for _, name := range sortedNames(c.Bindings) {
		// A port of 0 is any free one; multicast ports are shared.
		if b := c.Bindings[name]; b.Port > 0 && b.MulticastAddress == "" {
			ports = append(ports, supervisor.Port{Binding: name, Address: bound(b), Port: b.Port})
		}
	}
	return ports
}

// healthBindings are the names under which a server's health port is found.
var healthBindings = [...]string{"health", "management-health"}

// liveness asks a server's health port, and without one whether its link to
// the agent stands, which pings it.
func (a *Agent) liveness(c servergroups.ServerConfig) func(context.Context) error {
	name := c.Name
	for _, binding := range healthBindings {
		if b, ok := c.Bindings[binding]; ok && b.Port > 0 {
			return func(ctx context.Context) error { return askLive(ctx, b) }
		}
	}
	return func(context.Context) error {
		if a.relay.Attached(name) {
			return nil
		}
		return problem.Unavailable.Errorf("server %q has no link to its agent", name)
	}
}

// probes never reuse a connection: a hung server may hold it open.
var probes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func askLive(ctx context.Context, b servergroups.Binding) error {
	host := cmp.Or(bound(b), "localhost")
	target := "http://" + net.JoinHostPort(host, strconv.Itoa(b.Port)) + "/health/live"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	answer, err := probes.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", target, answer.Status)
	}
	return nil
}

// clashes finds two servers of the host on one port, before anything starts:
// of the two, neither new configuration is used.
func clashes(configs map[string]servergroups.ServerConfig, problems map[string]string) {
	all := make([]servergroups.ServerConfig, 0, len(configs))
	for _, name := range sortedNames(configs) {
		all = append(all, configs[name])
	}
	if len(servergroups.PortConflicts(all)) == 0 {
		return
	}
	for i, one := range all {
		for _, two := range all[i+1:] {
			if errs := servergroups.PortConflicts([]servergroups.ServerConfig{one, two}); len(errs) > 0 {
				problems[one.Name], problems[two.Name] = errs[0].Error(), errs[0].Error()
			}
		}
	}
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
