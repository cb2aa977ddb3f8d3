package hostagent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/hostagent/plan"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// server is what the agent knows of one server; Agent.mu guards it.
type server struct {
	name string
	// wanted is the newest configuration that could be resolved; content its
	// JSON and digest its hash without the revision.
	wanted  servergroups.ServerConfig
	content []byte
	digest  string
	// problem is why the newest configuration cannot be used.
	problem string
	inHost  bool // the newest snapshot has it
	spec    supervisor.Spec
	// process is the digest of spec; defined and given are what supervisor and
	// relay have. start is the digest of what only a new process takes up, and
	// settings that of the running process.
	process, defined, given string
	start, settings         string
	order                   string

	status supervisor.Status
	exit   *localstate.Exit // of its last process; nil: none has ended yet
	report *relaypb.Status
	// applied is the digest the server runs, sent that which it was sent with
	// which revision.
	applied  string
	sent     map[uint64]string
	required string
	refused  string                // the server's own problem with its configuration
	usage    *hostlink.ServerUsage // nil: nothing is known; never changed
	answered [2]uint64             // requests and errors at the last measurement
	version  string                // of the program it runs
	trusted  *relaypb.Trusted      // nil: it has not said
}

// server gives the entry of a name, made where needed; a.mu is held.
func (a *Agent) server(name string) *server {
	v := a.servers[name]
	if v == nil {
		v = &server{name: name, sent: map[uint64]string{}}
		// Without a configuration it can be watched and stopped, not started.
		v.spec = supervisor.Spec{Name: name, Dir: a.serverDir(name), AutoStart: true, LastWords: a.lastWords(name)}
		a.servers[name] = v
	}
	return v
}

// digest is a short name of any value's content.
func digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // cannot be: plain values
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// wantedOf and presentOf are what plan needs to know; a.mu is held.
func (v *server) wantedOf() plan.Wanted {
	return plan.Wanted{Name: v.name, AutoStart: v.wanted.AutoStart, Order: v.order,
		Content: v.digest, Process: v.process, Problem: v.problem}
}

func (v *server) presentOf(state supervisor.State) plan.Present {
	return plan.Present{Name: v.name, State: state, Content: v.given, Process: v.defined}
}

// noticed takes in a change of a process; called by the supervisor.
func (a *Agent) noticed(s supervisor.Status) {
	a.mu.Lock()
	v := a.server(s.Name)
	if s.PID != v.status.PID { // another process: what the last one said is void
		v.report, v.applied, v.required, v.refused, v.usage, v.version, v.trusted = nil, "", "", "", nil, "", nil
	}
	if s.State != supervisor.Starting {
		delete(a.unheard, s.Name)
	}
	v.status = s
	if s.Exit != nil {
		v.exit = exitOf(*s.Exit)
	}
	a.mu.Unlock()
	a.changed()
	a.poke()
}

// changed has the domain hear of it soon.
func (a *Agent) changed() {
	if a.link != nil {
		a.link.Changed()
	}
	a.redirect()
}

// setOrder remembers what an operator wants of a server.
func (a *Agent) setOrder(name, order string) error {
	err := a.store.UpdateServer(name, func(r *localstate.Server) { r.Order, r.Boot = order, a.machine })
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.server(name).order = order
	a.mu.Unlock()
	return nil
}

// statuses is the host's whole list; nil while it is not known.
func (a *Agent) statuses() *hostlink.ServerStatuses {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unheard) > 0 {
		return nil
	}
	return a.tellAll()
}

// tellAll is the list as it is known now; a.mu is held.
func (a *Agent) tellAll() *hostlink.ServerStatuses {
	list := &hostlink.ServerStatuses{}
	for _, name := range sortedNames(a.servers) {
		if v := a.servers[name]; v.inHost || v.status.State.Running() {
			list.Servers = append(list.Servers, v.tell(a))
		}
	}
	return list
}

// tell is one server as the domain sees it; a.mu is held.
func (v *server) tell(a *Agent) *hostlink.ServerStatus {
	s := &hostlink.ServerStatus{
		Name: v.name, Group: v.wanted.Group, Profile: v.wanted.Profile, Site: v.wanted.Site,
		State: string(v.status.State), Pid: uint32(v.status.PID), Restarts: uint32(v.status.Restarts),
		Message: v.status.Message, Usage: v.usage, Ports: v.ports(), Address: v.address(a.local), Version: v.version,
		Issuer: v.trusted.GetIssuer(), Authorities: v.trusted.GetAuthorities(),
	}
	if !v.status.Started.IsZero() {
		s.StartedUnixMs = v.status.Started.UnixMilli()
	}
	if s.State == "" {
		s.State = string(supervisor.Disabled)
	}
	if !v.status.Since.IsZero() {
		s.SinceUnixMs = v.status.Since.UnixMilli()
	}
	if v.exit != nil {
		s.Exit = &hostlink.ServerExit{AtUnixMs: v.exit.At.UnixMilli(), Code: int32(v.exit.Code), Signal: v.exit.Signal,
			OutOfMemory: v.exit.OutOfMemory, Unknown: v.exit.Unknown, Reason: v.exit.Reason}
	}
	if v.report != nil {
		s.Node, s.Revision, s.Members = v.report.GetNode(), v.report.GetRevision(), v.report.GetMembers()
		s.Healthy = v.status.State == supervisor.Started && v.report.GetHealthy()
	}
	if v.applied == v.digest && v.digest != "" {
		// What it runs is what this revision wants, whichever brought it.
		s.Revision = max(s.Revision, a.snapshot.Revision)
	}
	if v.status.State.Running() {
		s.Required = v.required
		if v.settings != v.start {
			s.Required = "restart-required"
		}
	}
	for _, why := range []string{v.problem, v.refused} {
		if why != "" {
			s.Message = why
		}
	}
	return s
}

// exitOf is an end as it is kept and told.
func exitOf(e supervisor.Exit) *localstate.Exit {
	return &localstate.Exit{At: e.At, Code: e.Code, Signal: e.Signal, OutOfMemory: e.OutOfMemory,
		Unknown: e.Unknown || e.Problem != "" && e.Code == 0 && e.Signal == "", Reason: e.String()}
}

func (v *server) ports() map[string]uint32 {
	ports := map[string]uint32{}
	for name, b := range v.wanted.Bindings {
		ports[name] = uint32(b.Port)
	}
	for name, port := range v.report.GetPorts() {
		ports[name] = port
	}
	return ports
}

// address is where others reach the server: where its http listens, unless
// that is everywhere.
func (v *server) address(host string) string {
	for _, name := range []string{"http", "https"} {
		if b, ok := v.wanted.Bindings[name]; ok && bound(b) != "" {
			return bound(b)
		}
	}
	return host
}

// measureEvery is how often usage is read from /proc: cheap, and often enough
// for graphs.
const measureEvery = 10 * time.Second
