package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// step is one thing that the check does and sees.
type step struct {
	name string
	run  func(ctx context.Context) (saw string, err error)
}

// stepLimit bounds one step; none may hang. The longest is the first boot of the
// domain.
const stepLimit = bootLimit

// tour is the state that the steps hand on.
type tour struct {
	*Demo
	app            *application
	code, verifier string
	node           string // of the session, from AUTH_SESSION_ID
	onePID         int
	displayName    string
}

// Check boots the domain, drives all of it as its users would, and stops it. It
// prints one line a step and fails at the first that did not hold.
func (d *Demo) Check(ctx context.Context) error {
	t := &tour{Demo: d, app: newApplication(fmt.Sprintf("http://localhost:%d", d.cfg.Ports.Balancer))}
	begin := d.cfg.Clock.Now()
	err := t.walk(ctx)
	stopped := d.cfg.Clock.Now()
	if stopErr := d.Stop(); err == nil && stopErr != nil {
		err = stopErr
	}
	if err != nil {
		return err
	}
	d.say("ok", clock.Since(d.cfg.Clock, stopped), "everything stopped", "")
	_, err = fmt.Fprintf(d.cfg.Stdout, "all held, in %s\n", clock.Since(d.cfg.Clock, begin).Round(10*time.Millisecond))
	return err
}

func (t *tour) walk(ctx context.Context) error {
	for _, s := range t.steps() {
		begin := t.cfg.Clock.Now()
		limited, cancel := context.WithTimeout(ctx, stepLimit)
		saw, err := s.run(limited)
		cancel()
		took := clock.Since(t.cfg.Clock, begin)
		if err != nil {
			t.say("FAILED", took, s.name, "")
			return problem.WithHint(fmt.Errorf("%s: %w", s.name, err), "the logs are in %s", t.cfg.Dir)
		}
		t.say("ok", took, s.name, saw)
	}
	return nil
}

func (d *Demo) say(mark string, took time.Duration, what, saw string) {
	if saw != "" {
		what += ": " + saw
	}
	fmt.Fprintf(d.cfg.Stdout, "%-6s %7.3fs  %s\n", mark, took.Seconds(), what)
}

func (t *tour) steps() []step {
	return []step{
		{"the controller is up", t.bootController},
		{"host master joined with its secret", func(ctx context.Context) (string, error) { return "", t.StartAgent(ctx, 0) }},
		{"host host2 joined with its secret", func(ctx context.Context) (string, error) { return "", t.StartAgent(ctx, 1) }},
		{"the balancer and both servers serve the realm", func(ctx context.Context) (string, error) { return "", t.WaitReady(ctx) }},
		{"both hosts say that they are well", t.hostsAreWell},
		{"a person logs in through the balancer", t.logIn},
		{"the other server takes the code", t.exchangeOnOther},
		{"a used code is refused", t.replay},
		{"a refresh gives new tokens", t.refreshOnce},
		{"userinfo tells who it is", t.userinfoSays},
		{"introspection says active", t.introspectSays},
		{"a profile change is live on both servers", t.change},
		{"server-one is killed; the session goes on", t.killOne},
		{"the agent brings server-one back", t.backAgain},
		{"the change can be undone", t.undo},
		{"logged out, and the session is over", t.logOut},
	}
}

func (t *tour) bootController(ctx context.Context) (string, error) {
	return "", t.StartController(ctx)
}

func (t *tour) hostsAreWell(ctx context.Context) (saw string, err error) {
	for i := range hosts {
		if err := t.ok(ctx, "http://"+loopback(t.cfg.Ports.Hosts+i)+"/health"); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (t *tour) logIn(ctx context.Context) (saw string, err error) {
	if t.code, t.verifier, err = t.app.login(ctx); err != nil {
		return "", err
	}
	cookie := t.app.browser.Cookie(t.app.public+realmPath+"/", "AUTH_SESSION_ID")
	_, node, found := strings.Cut(cookie, ".")
	if !found {
		return "", problem.Invalid.Errorf("AUTH_SESSION_ID is not <id>.<node>: %q", cookie)
	}
	t.node = strings.Trim(node, `"`)
	return "on " + t.node, nil
}

// server is the direct address of a server by its shift.
func (t *tour) server(shift int) string {
	return "http://" + loopback(t.cfg.Ports.Balancer+shift)
}

func (t *tour) balancer() string { return "http://" + loopback(t.cfg.Ports.Balancer) }

func (t *tour) exchangeOnOther(ctx context.Context) (string, error) {
	other, shift := "server-two", t.cfg.Ports.TwoShift
	if strings.Contains(t.node, "server-two") {
		other, shift = "server-one", t.cfg.Ports.OneShift
	}
	return other, t.app.exchange(ctx, t.server(shift), t.code, t.verifier)
}

func (t *tour) replay(ctx context.Context) (string, error) {
	replayed := newApplication(t.app.public)
	err := replayed.exchange(ctx, t.balancer(), t.code, t.verifier)
	if err == nil {
		return "", problem.Invalid.Errorf("a code was taken twice")
	}
	if !strings.Contains(err.Error(), "invalid_grant") {
		return "", err
	}
	// RFC 6749, 4.1.2: what was issued for a replayed code is revoked. The
	// person logs in again, which the identity cookie does silently or not.
	t.app = newApplication(t.app.public)
	if _, err := t.logIn(ctx); err != nil {
		return "", err
	}
	return "invalid_grant", t.app.exchange(ctx, t.balancer(), t.code, t.verifier)
}

func (t *tour) refreshOnce(ctx context.Context) (string, error) {
	before := t.app.tokens
	if err := t.app.refresh(ctx, t.balancer()); err != nil {
		return "", err
	}
	if t.app.tokens.Access == before.Access {
		return "", problem.Invalid.Errorf("the access token is still the old one")
	}
	if t.app.tokens.State != before.State {
		return "", problem.Invalid.Errorf("session_state changed from %s to %s", before.State, t.app.tokens.State)
	}
	return "", nil
}

func (t *tour) userinfoSays(ctx context.Context) (string, error) {
	claims, err := t.app.userinfo(ctx, t.balancer())
	if err != nil {
		return "", err
	}
	if claims["preferred_username"] != user {
		return "", problem.Invalid.Errorf("userinfo says %v", claims)
	}
	return user, nil
}

func (t *tour) introspectSays(ctx context.Context) (string, error) {
	claims, err := t.app.introspect(ctx, t.balancer())
	if err != nil {
		return "", err
	}
	if claims["active"] != true {
		return "", problem.Invalid.Errorf("introspection says %v", claims)
	}
	return "", nil
}

const identity = "/profile=auth-server-clustered/subsystem=identity"

// change pushes one change of each kind that the servers apply live: what
// people see, and how long a server waits for the database lock.
func (t *tour) change(ctx context.Context) (string, error) {
	t.displayName = "Checked at " + t.cfg.Clock.Now().UTC().Format("15:04:05")
	for _, command := range []string{
		identity + `:write-attribute(name=display-name,value="` + t.displayName + `")`,
		identity + `/spi=dblock/provider=jpa:map-put(name=properties,key=lockWaitTimeout,value=777)`,
	} {
		if _, err := t.CLI(ctx, command); err != nil {
			return "", err
		}
	}
	return "", t.until(ctx, "both servers run the change", func() error { return t.seesChange(ctx, t.displayName, "777") })
}

// seesChange looks at the login page and the metrics of both servers.
func (t *tour) seesChange(ctx context.Context, displayName, lockWait string) error {
	for _, shift := range []int{t.cfg.Ports.OneShift, t.cfg.Ports.TwoShift} {
		page, err := newApplication(t.server(shift)).authorize(ctx, "verifier-verifier-verifier-verifier-verifier", "s", "")
		if err != nil {
			return err
		}
		if !strings.Contains(page.Text(), displayName) {
			return problem.Unavailable.Errorf("the login page of port %d does not show %q", t.cfg.Ports.Balancer+shift, displayName)
		}
		metrics, err := get(ctx, "http://"+loopback(t.cfg.Ports.Health+shift)+"/metrics")
		if err != nil {
			return err
		}
		if want := "gatehouse_dblock_wait_timeout_seconds " + lockWait; !strings.Contains(metrics, want) {
			return problem.Unavailable.Errorf("the metrics of port %d do not show %q", t.cfg.Ports.Health+shift, want)
		}
	}
	return nil
}

// killOne kills server-one with the session alive, and at once goes on with it.
func (t *tour) killOne(ctx context.Context) (string, error) {
	pid, _, err := t.serverOne(ctx)
	if err != nil {
		return "", err
	}
	t.onePID = pid
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return "", err
	}
	session, repeated := t.app.tokens.State, 0
	for {
		err := t.goOn(ctx)
		if err == nil {
			break
		}
		// A POST that was under way when the server died may have been carried
		// out: the balancer says 502 and leaves it to the application to ask
		// again, which is safe here.
		if repeated++; repeated > 2 || !strings.Contains(err.Error(), "502") {
			return "", err
		}
	}
	if t.app.tokens.State != session {
		return "", problem.Invalid.Errorf("the session is another one: %s, was %s", t.app.tokens.State, session)
	}
	return fmt.Sprintf("killed pid %d, %d requests asked again", pid, repeated), nil
}

// goOn uses the session: a silent login, which is a GET that the balancer
// repeats on another server by itself, its code, and a refresh.
func (t *tour) goOn(ctx context.Context) error {
	code, verifier, err := t.app.silent(ctx)
	if err != nil {
		return err
	}
	if err := t.app.exchange(ctx, t.balancer(), code, verifier); err != nil {
		return err
	}
	return t.app.refresh(ctx, t.balancer())
}

func (t *tour) backAgain(ctx context.Context) (string, error) {
	var pid int
	err := t.until(ctx, "server-one runs again", func() error {
		now, state, err := t.serverOne(ctx)
		if err == nil && (now == t.onePID || state != "running") {
			err = problem.Unavailable.Errorf("server-one is %s, pid %d", state, now)
		}
		if err == nil {
			err = t.ok(ctx, t.server(t.cfg.Ports.OneShift)+realmPath)
		}
		pid = now
		return err
	})
	return fmt.Sprintf("pid %d", pid), err
}

// undo takes back the check's changes: a second check starts from the same
// domain, and the operator's way back is seen to work.
func (t *tour) undo(ctx context.Context) (string, error) {
	for _, command := range []string{
		identity + `:undefine-attribute(name=display-name)`,
		identity + `/spi=dblock/provider=jpa:map-put(name=properties,key=lockWaitTimeout,value=900)`,
	} {
		if _, err := t.CLI(ctx, command); err != nil {
			return "", err
		}
	}
	return "", t.until(ctx, "both servers run it", func() error { return t.seesChange(ctx, "Gatehouse demo", "900") })
}

func (t *tour) logOut(ctx context.Context) (string, error) {
	page, err := t.app.browser.Open(ctx, t.app.public+oidcPath+"/logout?id_token_hint="+t.app.tokens.ID)
	if err != nil {
		return "", err
	}
	if page.Status != http.StatusOK {
		return "", problem.Unavailable.Errorf("logout answers %d: %.200s", page.Status, page.Text())
	}
	if _, _, err := t.app.silent(ctx); err == nil || !strings.Contains(err.Error(), "login_required") {
		return "", problem.Invalid.Errorf("after logout, a silent login ends with: %v", err)
	}
	if err := t.app.refresh(ctx, t.balancer()); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		return "", problem.Invalid.Errorf("after logout, a refresh ends with: %v", err)
	}
	return "", nil
}

// serverOne asks the domain for server-one's process and state.
func (t *tour) serverOne(ctx context.Context) (pid int, state string, err error) {
	out, err := t.CLI(ctx, "/host=master/server=server-one:read-resource(include-runtime=true)")
	if err != nil {
		return 0, "", err
	}
	var answer struct {
		Result struct {
			PID   int    `json:"pid"`
			State string `json:"server-state"`
		} `json:"result"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return 0, "", fmt.Errorf("cannot read the answer %.200s: %w", out, err)
	}
	return answer.Result.PID, answer.Result.State, nil
}

func get(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(body), err
}
