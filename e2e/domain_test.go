package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/porttest"
)

// domain is a domain of one controller and several hosts: the example
// examples/demo with other servers. All its hosts are on the loopback
// interface, or each on a machine of its own when it has a network.
type domain struct {
	t           *testing.T
	binary, dir string
	base        int      // its ports: see portsOfADomain
	net         *network // nil: loopback
	controller  *process
	agents      map[string]*process
	hosts       []host
}

// host is a machine of a domain; on a network the first is host 1, where the
// controller runs too.
type host struct {
	name    string
	servers []server
}

// server is a server of a host. Its offset is its number times portStep.
type server struct {
	name, group string
	number      int
}

// loginPage of the demo's realm (the challenge is RFC 7636, appendix B).
const loginPage = "/protocol/openid-connect/auth?client_id=demo-app&response_type=code&scope=openid&redirect_uri=http%3A%2F%2Flocalhost%3A8180%2Fcallback" +
	"&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

const (
	balancers = "load-balancer-group"
	identity  = "auth-server-group"

	identitySubsystem = "/profile=auth-server-clustered/subsystem=identity"
)

// What a domain listens on, from its base; a server adds its offset to the
// first three.
const (
	httpPort = iota
	healthPort
	clusterPort
	httpsPort
	nativePort
	managementPort
	raftPort
	portStep       = 7 // divides no distance between the default ports, which the domain checks when a host registers
	portsOfADomain = 100
)

var domains atomic.Int32

// portsOf is how many ports the hosts need from their base on.
func portsOf(hosts []host) int {
	highest := 0
	for _, h := range hosts {
		for _, s := range h.servers {
			highest = max(highest, s.number)
		}
	}
	return max(portsOfADomain, (highest+1)*portStep)
}

// newDomain lays out a domain; nothing is started.
func newDomain(t *testing.T, hosts ...host) *domain {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a domain; run without -short")
	}
	d := &domain{t: t, binary: gatehouse(t), dir: shortFolder(t), base: porttest.Block(t, portsOf(hosts), os.Getpid()*7+int(domains.Add(1))), agents: map[string]*process{}, hosts: hosts}
	for _, name := range []string{"domain.toml", "demo-realm.json"} {
		text, err := os.ReadFile(filepath.Join("../examples/demo", name))
		if err != nil {
			t.Fatal(err)
		}
		d.write(name, string(text))
	}
	for i, h := range hosts {
		text := fmt.Sprintf("name = %q\n\n[domain-controller.remote]\naddresses = [%q]\n", h.name, d.address(0, nativePort))
		if i == 0 {
			text = fmt.Sprintf("name = %q\n\n[domain-controller.local]\n", h.name)
		}
		for _, s := range h.servers {
			text += fmt.Sprintf("\n[server.%s]\ngroup = %q\nauto-start = true\nport-offset = %d\n", s.name, s.group, s.number*portStep)
		}
		d.write(h.name+".toml", text)
	}
	t.Cleanup(d.reap)
	return d
}

// shortFolder is t.TempDir with a path that leaves room for sockets in it,
// whose paths have at most 107 bytes (unix(7)).
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// twoHosts is a domain whose load balancer and first servers are on "master",
// the others on "second"; each has n servers.
func twoHosts(n int) []host {
	hosts := []host{{name: "master", servers: []server{{"balancer", balancers, 0}}}, {name: "second"}}
	for i := range 2 * n {
		h := &hosts[i/n]
		h.servers = append(h.servers, server{fmt.Sprintf("server-%d", i+1), identity, i + 1})
	}
	return hosts
}

func (d *domain) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// address is where host i, from 0, listens on a port of the domain.
func (d *domain) address(i, port int) string {
	if d.net != nil {
		return net.JoinHostPort(d.net.address(i+1), strconv.Itoa(d.base+port))
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.base+port))
}

// public is the address that people use.
func (d *domain) public() string { return "http://" + d.address(0, httpPort) }

func (d *domain) socket() string { return filepath.Join(d.dir, "controller", "management.sock") }

func (d *domain) command(i int, args ...string) *exec.Cmd {
	if d.net != nil {
		return d.net.command(i+1, append([]string{d.binary}, args...)...)
	}
	return exec.Command(d.binary, args...)
}

// boot starts everything and returns when people can log in everywhere.
func (d *domain) boot() {
	d.t.Helper()
	d.startController()
	for i := range d.hosts {
		d.startAgent(i)
	}
	d.ready()
}

// startController starts the controller and waits until it takes commands.
func (d *domain) startController() {
	d.t.Helper()
	d.controller = launch(d.t, "controller", d.command(0, "controller", "--config", filepath.Join(d.dir, "domain.toml"),
		"--dir", filepath.Join(d.dir, "controller"), "--native", d.address(0, nativePort),
		"--http", d.address(0, managementPort), "--raft", d.address(0, raftPort)))
	eventually(d.t, "the controller takes commands", func(context.Context) error { _, err := d.try(":whoami"); return err })
}

// startAgent starts the agent of host i.
func (d *domain) startAgent(i int) {
	d.t.Helper()
	h := d.hosts[i]
	token := filepath.Join(d.dir, h.name+".token")
	if _, err := os.Stat(token); err != nil {
		d.addHost(h.name, token)
	}
	d.agents[h.name] = d.agent(i, h.name, filepath.Join(d.dir, h.name), token)
}

// addHost makes the join token of a host.
func (d *domain) addHost(name, token string) {
	d.t.Helper()
	if out, err := exec.Command(d.binary, "add-user", "--host", name, "--out", token, "--controller", d.socket()).CombinedOutput(); err != nil {
		d.t.Fatalf("add-user --host %s: %v: %s", name, err, out)
	}
}

// agent starts an agent on machine i with the file <name>.toml in a folder, and
// a token.
func (d *domain) agent(i int, name, folder, token string) *process {
	d.t.Helper()
	args := []string{"agent", "--host-config", filepath.Join(d.dir, name+".toml"), "--dir", folder,
		"--join-token", token, "--domain-controller", d.address(0, nativePort), "-Ddemo.dir=" + d.dir,
		"-Djboss.http.port=" + strconv.Itoa(d.base+httpPort), "-Djboss.https.port=" + strconv.Itoa(d.base+httpsPort),
		"-Dgatehouse.health.port=" + strconv.Itoa(d.base+healthPort), "-Dgatehouse.cluster.port=" + strconv.Itoa(d.base+clusterPort)}
	if d.net != nil {
		own := d.net.address(i + 1)
		args = append(args, "-b", own, "--bind-management", own, "-Djboss.bind.address.private="+own)
	}
	return launch(d.t, "agent "+name, d.command(i, args...))
}

// each visits the servers of the domain with the index of their host.
func (d *domain) each(visit func(i int, s server)) {
	for i, h := range d.hosts {
		for _, s := range h.servers {
			visit(i, s)
		}
	}
}

// realm is the address of the demo's realm at a server itself.
func (d *domain) realm(i int, s server) string {
	return "http://" + d.address(i, httpPort+s.number*portStep) + "/auth/realms/demo"
}

// ready waits until every server and the balancer serve the realm, and gives
// how long it took.
func (d *domain) ready() (took time.Duration) {
	d.t.Helper()
	d.each(func(i int, s server) {
		took += eventually(d.t, s.name+" serves the realm", answers(d.realm(i, s)))
	})
	return took
}

// try runs one command of the management command line and gives the result of
// its answer.
func (d *domain) try(command string) (json.RawMessage, error) {
	cmd := exec.Command(d.binary, "cli", "--controller="+d.socket(), "--output=json", "--command="+command)
	var said strings.Builder // progress, and errors
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s%s", command, err, out, &said)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("%s answers what is not JSON: %w: %s", command, err, out)
	}
	return answer.Result, nil
}

// must is try for a command that has to succeed.
func (d *domain) must(command string) json.RawMessage {
	d.t.Helper()
	out, err := d.try(command)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// pid is the process of a server, 0 for none: the one that runs in its folder.
// It asks the kernel, not the product.
func (d *domain) pid(h host, s server) int {
	return max(0, processIn(filepath.Join(d.dir, h.name, "servers", s.name)))
}

// pids are the processes of all servers.
func (d *domain) pids() map[string]int {
	out := map[string]int{}
	d.each(func(i int, s server) { out[s.name] = d.pid(d.hosts[i], s) })
	return out
}

// reap ends what a failed test left behind, and fails a test that left
// something: its agents were asked to stop before.
func (d *domain) reap() {
	for name, pid := range d.pids() {
		if pid == 0 {
			continue
		}
		d.t.Errorf("server %s still runs after its agent stopped, as process %d", name, pid)
		killServer(d.t, pid)
	}
	if d.t.Failed() {
		d.each(func(i int, s server) { d.complaints(i, s) })
	}
}

// complaints shows what a server's log has of warnings and errors.
func (d *domain) complaints(i int, s server) {
	text, err := os.ReadFile(filepath.Join(d.dir, d.hosts[i].name, "servers", s.name, "log", "server.log"))
	if err != nil {
		d.t.Logf("%s has no log: %v", s.name, err)
		return
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `"level":"warn"`) || strings.Contains(line, `"level":"error"`) {
			found = append(found, line)
		}
	}
	const most = 50
	d.t.Logf("warnings and errors of %s, %d, the last %d:\n%s", s.name, len(found), most, strings.Join(found[max(0, len(found)-most):], ""))
}

// processIn finds the process whose working directory is dir.
func processIn(dir string) int {
	found, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range found {
		if to, err := os.Readlink(link); err == nil && to == dir {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	return 0
}

// killServer ends a server with SIGKILL and returns when it is gone.
func killServer(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d is not there to be killed: %v", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0); err != nil {
		t.Fatalf("cannot kill process %d: %v", pid, err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		switch {
		case n > 0:
			return
		case err != unix.EINTR:
			t.Fatalf("process %d was killed, and is there: %v", pid, err)
		}
	}
}

// running waits until the domain says that all servers of host i run.
func (d *domain) running(i int) {
	d.t.Helper()
	for _, s := range d.hosts[i].servers {
		d.state(i, s, "running")
	}
}

// state waits until the domain says that a server is in a state.
func (d *domain) state(i int, s server, want string) {
	d.t.Helper()
	address := "/host=" + d.hosts[i].name + "/server=" + s.name
	eventually(d.t, s.name+" is "+want, func(context.Context) error {
		out, err := d.try(address + ":read-attribute(name=server-state)")
		if err == nil && string(out) != `"`+want+`"` {
			err = fmt.Errorf("%s is %s", address, out)
		}
		return err
	})
}

// change writes the name that every login page shows, and waits until each
// server shows it.
func (d *domain) change(name string) {
	d.t.Helper()
	d.must(identitySubsystem + `:write-attribute(name=display-name,value="` + name + `")`)
	d.shows(name)
}

// shows waits until the login page of every server shows the name.
func (d *domain) shows(name string) {
	d.t.Helper()
	d.each(func(i int, s server) {
		if s.group != identity {
			return
		}
		page := d.realm(i, s) + loginPage
		eventually(d.t, s.name+" shows "+name, func(ctx context.Context) error {
			body, err := get(ctx, page)
			if err == nil && !strings.Contains(body, name) {
				err = fmt.Errorf("its login page does not show %q: %.300s", name, body)
			}
			return err
		})
	})
}

func (d *domain) read(name string) string {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// explains waits until the domain's record of a server has all these words:
// what an operator reads who asks why it does not run.
func (d *domain) explains(address string, words ...string) {
	d.t.Helper()
	var out json.RawMessage
	eventually(d.t, address+" says why", func(context.Context) (err error) {
		out, err = d.try(address + ":read-resource(include-runtime=true)")
		for _, w := range words {
			if err == nil && !strings.Contains(string(out), w) {
				err = fmt.Errorf("it does not name %q: %s", w, out)
			}
		}
		return err
	})
	d.t.Logf("%s: %s", address, out)
}

// logsInOn checks that the balancer's next login page is from a node.
func (d *domain) logsInOn(ctx context.Context, node string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.public()+"/auth/realms/demo"+loginPage, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	for _, c := range resp.Cookies() {
		if c.Name == "AUTH_SESSION_ID" && strings.HasSuffix(strings.Trim(c.Value, `"`), "."+node) {
			return nil
		}
	}
	return fmt.Errorf("status %d, cookies %v", resp.StatusCode, resp.Cookies())
}
