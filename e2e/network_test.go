package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// network is a switch with hosts on it: each host is a network namespace with
// one address, and this test's own namespace is on the switch too.
type network struct {
	t      *testing.T
	prefix string // of interface and namespace names
	subnet string // the first three numbers of its addresses
	hosts  int
}

// networks counts those of this run.
var networks atomic.Int32

// needNetworks skips a test where it cannot make networks: it needs root, the
// program ip, and a container that was not forbidden to.
func needNetworks(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root: run the tests as root to have this one")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need the program ip (package iproute2)")
	}
	for _, args := range [][]string{
		{"link", "add", "first", "type", "veth", "peer", "name", "second"},
		{"link", "add", "bridge", "type", "bridge"},
	} {
		try := exec.Command("ip", args...)
		try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if out, err := try.CombinedOutput(); err != nil {
			t.Skipf("this machine makes no networks: %v %s", err, out)
		}
	}
}

// addBridge makes the switch. Its names and addresses are no other network's, of
// this run or of another: the kernel takes a while to forget one that was deleted.
func addBridge(t *testing.T) *network {
	t.Helper()
	const subnets = 40 * 250 // 10.214.0.0 to 10.253.249.0
	for {
		i := (os.Getpid()*11 + int(networks.Add(1))) % subnets
		net := &network{t: t, prefix: fmt.Sprintf("gh%d", i), subnet: fmt.Sprintf("10.%d.%d", 214+i/250, i%250)}
		out, err := exec.Command("ip", "link", "add", net.prefix+"br", "type", "bridge").CombinedOutput()
		switch {
		case err == nil:
			return net
		case !strings.Contains(string(out), "File exists"):
			t.Skipf("this machine makes no bridges: %s", out)
		}
	}
}

// newNetwork makes n hosts, or skips the test where that is not allowed.
func newNetwork(t *testing.T, n int) *network {
	t.Helper()
	needNetworks(t)
	net := addBridge(t)
	net.hosts = n
	bridge := net.prefix + "br"
	t.Cleanup(func() { net.try("link", "del", bridge) })
	net.ip("addr", "add", net.subnet+".254/24", "dev", bridge)
	net.ip("link", "set", bridge, "up")
	for i := 1; i <= n; i++ {
		ns := net.namespace(i)
		net.ip("netns", "add", ns)
		t.Cleanup(func() { net.try("netns", "del", ns) })
		outside := net.outside(i)
		net.ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", ns)
		net.ip("link", "set", outside, "master", bridge, "up")
		net.ip("-n", ns, "addr", "add", net.address(i)+"/24", "dev", "eth0")
		net.ip("-n", ns, "link", "set", "eth0", "up")
		net.ip("-n", ns, "link", "set", "lo", "up")
	}
	return net
}

func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.prefix, i) }
func (n *network) outside(i int) string   { return fmt.Sprintf("%sv%d", n.prefix, i) }

// address is host i's; host 0 is this test's.
func (n *network) address(i int) string {
	if i == 0 {
		return n.subnet + ".254"
	}
	return fmt.Sprintf("%s.%d", n.subnet, i)
}

// cut takes host i off the switch; mend puts it back.
func (n *network) cut(i int)  { n.ip("link", "set", n.outside(i), "down") }
func (n *network) mend(i int) { n.ip("link", "set", n.outside(i), "up") }

// command is a command on host i.
func (n *network) command(i int, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.namespace(i)}, args...)...)
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// try is ip for cleaning up: what is gone already is no matter.
func (n *network) try(args ...string) { _ = exec.Command("ip", args...).Run() }
