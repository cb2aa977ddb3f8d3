// Package supervisor owns the processes of a machine's servers: it starts,
// watches, restarts and stops them, captures their logs and says why they
// ended. It is the only importer of os/exec in the product. It must not know
// where a server's settings come from, nor the wire to a controller or to a
// server: those reach it as a Spec, a Link and a Journal.
//
// Each server is one goroutine that owns everything about it; orders, reports
// and exits reach it as messages. Why it is built so: DESIGN.md.
package supervisor

import (
	"context"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Spec is all that is needed to run one server. It is a value: a changed one
// takes effect at the next start.
type Spec struct {
	Name string
	// Command is the program and its arguments.
	Command []string
	// Spare is a program that takes the same arguments, started where Command's
	// cannot be; "" for none.
	Spare string
	// Dir holds the server's log, data and tmp, and is its working directory.
	Dir string
	// Env is the whole environment, name=value; the supervisor adds GOMEMLIMIT,
	// and GOMAXPROCS where servers crowd the processors and it is not given.
	Env []string
	// MemoryLimit is in bytes; 0 means none.
	MemoryLimit int64
	// Ports are tried before each start.
	Ports []Port
	// AutoStart decides what a stop leads to: STOPPED, or DISABLED when false.
	AutoStart bool
	// Restart is what follows when the server ends by itself; "" is Always.
	Restart Policy
	// Live asks the server whether it is alive; nil: only its exit is watched.
	Live func(ctx context.Context) error
	// LastWords is the exit code that the server wrote down itself at the end of
	// its process pid, which began at since; nil: it does not.
	LastWords func(pid int, since time.Time) (code int, found bool)
}

// Policy is what follows the end of a server that was not ordered to end.
type Policy string

// The policies.
const (
	Always    Policy = "always"     // it is started again; FAILED, it is still tried every minute
	OnFailure Policy = "on-failure" // it is started again until FAILED; exit code 0 leaves it stopped
	Never     Policy = "never"      // it stays down: stopped after exit code 0, else FAILED
)

// Port is one port a server will listen on.
type Port struct {
	Binding string // the socket binding's name
	Address string // the address to bind, "" for all
	Port    int
}

// Report is a server's own view of itself, as its Link delivered it.
type Report struct {
	State   string // starting, ready, suspending, suspended, stopping, failed
	Message string
	Healthy bool
}

// Status is one server as the world sees it.
type Status struct {
	Name    string
	State   State
	PID     int
	Since   time.Time // of State
	Started time.Time // of the process; zero when there is none
	// Restarts counts respawns since the server was last ordered to start.
	Restarts int
	// Message is why it is in this state, for people; of a FAILED one it ends
	// with the last lines of its log.
	Message string
	Healthy bool
	// Exit is how the last process ended; nil before the first end.
	Exit *Exit
}

// Link speaks to running servers.
type Link interface {
	// Expect makes the one-time token with which the next process of a server
	// introduces itself.
	Expect(server string) (token string, err error)
	// Command has a server do something (reload, suspend, resume, stop) and
	// waits until it has.
	Command(ctx context.Context, server, kind string, timeout time.Duration) error
}

// Journal remembers running processes over a restart of the agent.
type Journal interface {
	// Started is called before the process may do anything. It must be durable
	// when it returns.
	Started(p Process) error
	Ended(server string, exit Exit) error
}

// Config is what a Supervisor rests on.
type Config struct {
	Link    Link
	Journal Journal
	// Notify is called at each change of a status, from the server's own
	// goroutine: it must not block and must not call the Supervisor.
	Notify func(Status)
	Clock  clock.Clock
	Log    zerolog.Logger
	// Timing is DefaultTiming when zero.
	Timing Timing
	// Starts is how many servers are started at the same time; more wait for
	// their turn. 0: twice as many as there are processors.
	Starts int
}

// Supervisor keeps the servers of one machine.
type Supervisor struct {
	config Config
	turns  *turns
	crowd  *crowd
	group  sync.WaitGroup

	mu      sync.Mutex
	servers map[string]*server
	closed  bool
}

// New makes a supervisor without servers.
func New(c Config) *Supervisor {
	if c.Timing.StartTimeout == 0 {
		c.Timing = DefaultTiming
	}
	if c.Notify == nil {
		c.Notify = func(Status) {}
	}
	if c.Starts == 0 {
		c.Starts = 2 * runtime.GOMAXPROCS(0)
	}
	return &Supervisor{config: c, turns: newTurns(c.Starts), crowd: &crowd{processors: runtime.GOMAXPROCS(0)}, servers: map[string]*server{}}
}

// Define makes a server known, DISABLED or STOPPED as its AutoStart says, or
// gives a known one its new Spec.
func (s *Supervisor) Define(spec Spec) error {
	v, err := s.define(spec)
	if err != nil {
		return err
	}
	return v.do(context.Background(), func() { v.redefine(spec) })
}

func (s *Supervisor) define(spec Spec) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, problem.Precondition.Errorf("cannot define server %q: the agent is stopping", spec.Name)
	}
	v := s.servers[spec.Name]
	if v == nil {
		v = newServer(s.config, s.turns, s.crowd, spec)
		s.servers[spec.Name] = v
		s.crowd.servers.Store(int64(len(s.servers)))
		s.group.Go(v.run)
	}
	return v, nil
}

// Adopt takes over a process that an earlier agent started. It fails with
// NotFound when the process is gone or is not the one that was recorded; the
// server is then known, and not running.
func (s *Supervisor) Adopt(spec Spec, p Process) error {
	v, err := s.define(spec)
	if err != nil {
		return err
	}
	var adopted error
	if err := v.do(context.Background(), func() { adopted = v.adopt(p) }); err != nil {
		return err
	}
	return adopted
}

// Forget stops knowing a server that is not running.
func (s *Supervisor) Forget(name string) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	var refused error
	if err := v.do(context.Background(), func() {
		if v.process != nil {
			refused = problem.Precondition.Errorf("cannot forget server %q: it is %s", name, v.status.State)
			return
		}
		v.ending = true
	}); err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	s.mu.Lock()
	delete(s.servers, name)
	s.crowd.servers.Store(int64(len(s.servers)))
	s.mu.Unlock()
	return nil
}

// Status is every server's, by name.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Status, 0, len(s.servers))
	for _, v := range s.servers {
		list = append(list, v.snapshot())
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Of is one server's status.
func (s *Supervisor) Of(name string) (Status, error) {
	v, err := s.find(name)
	if err != nil {
		return Status{}, err
	}
	return v.snapshot(), nil
}

// Reported tells what a server said of itself.
func (s *Supervisor) Reported(name string, r Report) {
	if v, err := s.find(name); err == nil {
		v.post(func() { v.hear(r) })
	}
}

// Close ends the supervision and leaves every process as it is: the next
// agent adopts them. Stop them first where that is wanted.
func (s *Supervisor) Close() {
	s.mu.Lock()
	s.closed = true
	for _, v := range s.servers {
		v.post(func() { v.ending = true })
	}
	s.mu.Unlock()
	s.group.Wait()
}

func (s *Supervisor) find(name string) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.servers[name]; v != nil {
		return v, nil
	}
	names := make([]string, 0, len(s.servers))
	for n := range s.servers {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, problem.NotFound.Errorf("cannot find server %q on this host (servers: %v)", name, names)
}
