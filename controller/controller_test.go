package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// process is a controller that a test runs.
type process struct {
	t    *testing.T
	cfg  controller.Config
	c    *controller.Controller
	cli  *client.Client
	stop func()
	// alone: the test has taken the majority away.
	alone bool
}

func start(t *testing.T, cfg controller.Config) *process {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Name == "" {
		cfg.Name = "c1"
	}
	for _, to := range []*string{&cfg.Native, &cfg.HTTP} {
		if *to == "" {
			*to = porttest.Address(t) // it may start again
		}
	}
	if cfg.Replication == "" {
		cfg.Replication = "127.0.0.1:0" // another at each start: the others learn of it
	}
	cfg.Clock, cfg.Log = clock.Real(), zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
	if !testing.Verbose() {
		cfg.Log = zerolog.Nop()
	}
	c, err := controller.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cfg: cfg, c: c}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			if p.cli != nil {
				p.cli.Close()
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("controller %s: %v", cfg.Name, err)
			}
		})
	}
	t.Cleanup(p.stop)
	select {
	case <-c.Ready():
	case err := <-ended:
		t.Fatal(err)
	case <-clock.Real().NewTimer(patience).C:
		t.Fatal("the controller does not become ready")
	}
	p.cli = p.dial()
	return p
}

// patience is how long a test waits for what must come; nothing depends on it but
// how late a failure is told.
const patience = time.Minute

// dial connects to the controller's management socket.
func (p *process) dial() *client.Client {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{Addresses: []string{filepath.Join(p.cfg.Dir, controller.SocketName)}, Clock: clock.Real()})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *process) native() string { n, _, _ := p.c.Addresses(); return n }

// do runs one operation and fails the test when it fails.
func (p *process) do(name, address string, params ...any) client.Response {
	p.t.Helper()
	r, err := p.try(name, address, params...)
	// A leader that is deposed while it works cannot tell what came of it. What may be
	// done twice is asked for again, as an operator would.
	if done, twice := repeatable(name); twice && problem.Is(err, problem.Unavailable) {
		eventually(p.t, name+" is done", func() (bool, any) {
			r, err = p.try(name, address, params...)
			return !problem.Is(err, problem.Unavailable), err
		})
		if problem.Is(err, done) {
			err = nil // it was done
		}
	}
	if err != nil {
		p.t.Fatalf("%s:%s: %v", address, name, err)
	}
	return r
}

// repeatable reports whether an operation may be asked for twice, and what the second
// answer is when it was done the first time; problem.Unavailable: none of its own.
func repeatable(name string) (done problem.Kind, twice bool) {
	switch name {
	case "add", "add-user":
		return problem.Conflict, true
	case "remove", "remove-host", "remove-controller":
		return problem.NotFound, true
	case "write-attribute", "add-host", "add-controller", "stop", "controllers", "hosts", "history", "rollouts", "diff", "list-users":
		return problem.Unavailable, true
	}
	return problem.Unavailable, strings.HasPrefix(name, "read-")
}

// try runs one operation; params are names and values, a name that begins with
// "{" is a header.
func (p *process) try(name, address string, params ...any) (client.Response, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.execute(ctx, operation(p.t, name, address, params...))
}

// execute runs an operation. It is put again, as an operator would, while the
// answer is that nothing was begun because no controller leads: a machine that is
// busy enough deposes a leader at any time.
func (p *process) execute(ctx context.Context, op profiles.Operation) (client.Response, error) {
	for {
		r, err := p.cli.Execute(ctx, op)
		if _, nobodyLeads := r.Headers["leader"]; err == nil || !nobodyLeads || p.alone || clock.Sleep(ctx, clock.Real(), 20*time.Millisecond) != nil {
			return r, err
		}
	}
}

func operation(t *testing.T, name, address string, params ...any) profiles.Operation {
	t.Helper()
	at, err := profiles.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	op := profiles.Operation{Name: name, Address: at, Params: map[string]any{}, Headers: map[string]any{}}
	for i := 0; i < len(params); i += 2 {
		if key := params[i].(string); strings.HasPrefix(key, "{") {
			op.Headers[key[1:]] = params[i+1]
		} else {
			op.Params[key] = params[i+1]
		}
	}
	return op
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok() {
		if clock.Sleep(ctx, clock.Real(), 5*time.Millisecond) != nil {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// eventually waits as until does, and says in vain what the last look at it was.
func eventually(t *testing.T, what string, look func() (ok bool, saw any)) {
	t.Helper()
	var saw any
	defer func() {
		if t.Failed() {
			t.Logf("%s: last seen was %+v", what, saw)
		}
	}()
	until(t, what, func() (ok bool) {
		ok, saw = look()
		return ok
	})
}

// hostOperations are a host's file: servers, all of the group web.
func hostOperations(t *testing.T, host string, servers ...string) []byte {
	t.Helper()
	ops := []profiles.Operation{operation(t, "add", "/host="+host)}
	for i, s := range servers {
		ops = append(ops, operation(t, "add", "/host="+host+"/server-config="+s, "group", "web", "port-offset", int64(100*(i+1))))
	}
	text, err := json.Marshal(ops)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// furnish makes the profile, sockets and group that the tests' servers use.
func (p *process) furnish() {
	p.t.Helper()
	p.do("add", "/profile=web")
	p.do("add", "/profile=web/subsystem=identity")
	p.do("add", "/interface=public")
	p.do("add", "/socket-binding-group=sockets", "default-interface", "public")
	p.do("add", "/socket-binding-group=sockets/socket-binding=http", "port", int64(8080))
	p.do("add", "/server-group=web", "profile", "web", "socket-binding-group", "sockets")
}

// admit has a host join with its token; one that is told that no controller leads
// tries again, as the agent does.
func (p *process) admit(a *hosttest.Agent, token authority.Token) {
	p.t.Helper()
	var err error
	eventually(p.t, "host "+a.Name+" joins", func() (bool, any) {
		err = a.Join(p.t.Context(), p.native(), token)
		return !problem.Is(err, problem.Unavailable), err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// join makes a simulated host that is connected until the test ends.
func (p *process) join(a *hosttest.Agent) *hosttest.Agent {
	p.t.Helper()
	var token authority.Token
	decode(p.t, p.do("add-host", "", "name", a.Name).Result, &token)
	token.Name = a.Name
	if a.Installation == "" {
		a.Installation = "installation of " + a.Name
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.admit(a, token)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := a.Connect(ctx, p.native()); err != nil && ctx.Err() == nil {
				p.t.Logf("host %s: %v", a.Name, err)
			}
			_ = clock.Sleep(ctx, clock.Real(), 50*time.Millisecond)
		}
	}()
	p.t.Cleanup(func() { cancel(); <-done })
	return a
}

func decode(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFirstBootFoundsADomainAndLaterOnesKeepIt(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso", "{comment", "shorter")
	p.stop()
	p = start(t, controller.Config{Dir: p.cfg.Dir})
	if got := p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got != "sso" {
		t.Errorf("web-context is %v after a restart", got)
	}
	var history []struct{ Author, Comment string }
	decode(t, p.do("history", "", "limit", int64(1)).Result, &history)
	if len(history) != 1 || history[0].Author != "local" || history[0].Comment != "shorter" {
		t.Errorf("history %+v", history)
	}
}

func TestAHostJoinsGetsItsSnapshotAndFollowsChanges(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	snapshots := make(chan *hostlink.Snapshot, 16)
	directories := make(chan *hostlink.Directory, 16)
	a := p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one", "two"),
		Acknowledged: func(s *hostlink.Snapshot) { snapshots <- s }, Directed: func(d *hostlink.Directory) { directories <- d }})
	first := <-snapshots
	if !strings.Contains(string(first.Content), `"two"`) {
		t.Errorf("the snapshot lacks server two: %s", first.Content)
	}
	until(t, "the directory lists both servers", func() bool { return len((<-directories).Servers) == 2 })
	if got := fmt.Sprint(p.do("read-children-names", "/host=host2", "child-type", "server").Result); got != "[one two]" {
		t.Errorf("servers %s", got)
	}
	p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso")
	if next := <-snapshots; next.Revision <= first.Revision || next.Checksum == first.Checksum {
		t.Errorf("the change did not reach the host: %d after %d", next.Revision, first.Revision)
	}
	// A profile that the host does not use is none of its business.
	p.do("add", "/profile=other")
	p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "auth2")
	if next := <-snapshots; !strings.Contains(string(next.Content), "auth2") {
		t.Errorf("a snapshot came for a change that is none of the host's business")
	}
	if got := p.do("stop", "/host=host2/server-config=one").Result; got != "STOPPED" {
		t.Errorf("stop answers %v", got)
	}
	until(t, "the operator sees it", func() bool {
		return p.do("read-attribute", "/host=host2/server=one", "name", "status").Result == "STOPPED"
	})
	if c, err := a.Sign(context.Background(), p.native(), "one"); err != nil || !strings.Contains(string(c.Certificate), "CERTIFICATE") {
		t.Errorf("no certificate for a server: %v", err)
	}
}

func TestWhoMayNotJoinIsToldSo(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	var token authority.Token
	decode(t, p.do("add-host", "", "name", "host2").Result, &token)
	until(t, "host2 is connected", func() bool {
		var hosts []struct{ Connected bool }
		decode(t, p.do("hosts", "").Result, &hosts)
		return len(hosts) == 1 && hosts[0].Connected
	})
	tests := []struct {
		name  string
		token authority.Token
		want  string
	}{
		{"unknown host", authority.Token{Name: "host9", Secret: token.Secret, Fingerprint: token.Fingerprint}, "unknown or the secret is wrong"},
		{"wrong secret", authority.Token{Name: "host2", Secret: "guess", Fingerprint: token.Fingerprint}, "unknown or the secret is wrong"},
		{"second host of the name", authority.Token{Name: "host2", Secret: token.Secret, Fingerprint: token.Fingerprint}, "another installation"},
		{"false controller", authority.Token{Name: "host2", Secret: token.Secret, Fingerprint: "sha256:00"}, "join token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &hosttest.Agent{Name: tt.token.Name, Installation: "another"}
			if err := a.Join(context.Background(), p.native(), tt.token); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestARemovedHostIsRefusedUntilItIsInvitedAgain(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	a := p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	until(t, "host2 is in the model", func() bool { _, err := p.try("read-resource", "/host=host2"); return err == nil })
	p.do("remove-host", "", "name", "host2")
	if _, err := p.try("read-resource", "/host=host2"); !problem.Is(err, problem.NotFound) {
		t.Errorf("the host is still in the model: %v", err)
	}
	until(t, "its certificate is refused", func() bool {
		_, err := a.Sign(context.Background(), p.native(), "one")
		return err != nil
	})
	until(t, "its link is gone", func() bool { return fmt.Sprint(p.do("hosts", "").Result) == "[]" })
	// A hello that was on its way does not bring it back.
	p.refused(problem.Forbidden, []string{"was removed"}, "register-host", "", "host", "host2", "operations", string(a.Operations))
	if _, err := p.try("read-resource", "/host=host2"); !problem.Is(err, problem.NotFound) {
		t.Errorf("the host is in the model again: %v", err)
	}
}

func TestAStaleExpectRevisionShowsWhatChanged(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	seen := p.do("read-resource", "/profile=web").Revision
	p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "theirs")
	_, err := p.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "mine", "{expect-revision", int64(seen))
	if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), "theirs") {
		t.Errorf("got %v", err)
	}
}

func TestARevertIsANewRevisionThatUndoes(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	before := p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "one")
	p.do("remove", "/profile=web/subsystem=identity")
	p.do("add", "/profile=other")
	after := p.do("revert", "", "to", int64(before.Revision))
	if after.Revision != before.Revision+3 {
		t.Errorf("revision %d after %d", after.Revision, before.Revision)
	}
	if got := p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got != "one" {
		t.Errorf("web-context is %v", got)
	}
	if names := fmt.Sprint(p.do("read-children-names", "", "child-type", "profile").Result); slices.Contains(strings.Fields(names), "other") {
		t.Errorf("profiles %s", names)
	}
}

func TestADryRunChangesNothingAndSaysWhatItWould(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	until(t, "host2 is in the model", func() bool { _, err := p.try("read-resource", "/host=host2"); return err == nil })
	r := p.do("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso", "{dry-run", true)
	var plan struct {
		Servers []struct{ Host, Server, Effect string }
	}
	decode(t, r.Result, &plan)
	if len(plan.Servers) != 1 || plan.Servers[0].Server != "one" {
		t.Errorf("plan %+v", plan)
	}
	if got := p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got == "sso" {
		t.Error("it was done")
	}
}
