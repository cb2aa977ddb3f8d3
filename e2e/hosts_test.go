package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres/postgrestest"
)

// TestThreeHosts runs examples/three-hosts as its README says, on three network
// namespaces with PostgreSQL on a fourth machine: a person logs in, a host is
// cut off and comes back, and the session goes on throughout.
func TestThreeHosts(t *testing.T) {
	if testing.Short() {
		t.Skip("boots four processes on three hosts; run without -short")
	}
	n := newNetwork(t, 3)
	d := threeHosts{network: n, binary: gatehouse(t), dir: t.TempDir(), database: forwardPostgres(t, n.address(0))}
	files, err := filepath.Abs("../examples/three-hosts")
	if err != nil {
		t.Fatal(err)
	}
	d.files = files
	d.startMaster(t)
	d.startAgent(t, 2, "two")
	d.startAgent(t, 3, "three")
	public := "http://" + n.address(1) + ":8080"
	eventually(t, "the balancer serves the master realm", answers(public+"/auth/realms/master"))
	eventually(t, "three servers are ready", func(context.Context) error {
		return d.has(3, "running", "/host=*/server-config=*")
	})
	eventually(t, "the servers form one cluster", func(ctx context.Context) error {
		body, err := get(ctx, "http://"+n.address(2)+":9150/health/ready")
		if err == nil && strings.Count(body, "server-") < 3 {
			err = fmt.Errorf("members: %s", body)
		}
		return err
	})

	person := formbrowser.New(nil, nil)
	logIn(t, person, public+"/auth/realms/master/account", "admin", "admin-on-three-hosts")

	t.Log("host three is cut off")
	n.cut(3)
	for range 20 {
		seesAccount(t, person, public+"/auth/realms/master/account", "admin")
	}
	n.mend(3)
	eventually(t, "host three is back", func(context.Context) error { return d.has(3, "running", "/host=*/server-config=*") })
	seesAccount(t, person, public+"/auth/realms/master/account", "admin")
}

type threeHosts struct {
	*network
	binary, dir, files, database string
}

func (d threeHosts) socket() string {
	return filepath.Join(d.dir, "master", "controller", "management.sock")
}

// run is a command on host i with the environment that the README asks for.
func (d threeHosts) run(i int, args ...string) *exec.Cmd {
	cmd := d.command(i, append([]string{d.binary}, args...)...)
	cmd.Env = append(os.Environ(), "GATEHOUSE_DATABASE_PASSWORD=unused",
		"KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin-on-three-hosts")
	return cmd
}

func (d threeHosts) startMaster(t *testing.T) {
	start(t, "master", d.run(1, "domain", "--dir", filepath.Join(d.dir, "master"),
		"--config", filepath.Join(d.files, "domain.toml"), "--host-config", filepath.Join(d.files, "host-master.toml"),
		"--advertise", d.address(1), "-b", d.address(1), "-Dgatehouse.database.url="+d.database))
	eventually(t, "the controller takes commands", func(context.Context) error { _, err := d.cli(":whoami"); return err })
}

func (d threeHosts) startAgent(t *testing.T, i int, name string) {
	token := filepath.Join(d.dir, name+".token")
	if out, err := exec.Command(d.binary, "add-user", "--host", name, "--out", token, "--controller", d.socket()).CombinedOutput(); err != nil {
		t.Fatalf("add-user: %v: %s", err, out)
	}
	start(t, name, d.run(i, "agent", "--dir", filepath.Join(d.dir, name), "--host-config", filepath.Join(d.files, "host-"+name+".toml"),
		"--join-token", token, "--domain-controller", d.address(1)+":9999", "-b", d.address(i), "-Dgatehouse.database.url="+d.database))
}

func (d threeHosts) cli(command string) (string, error) {
	out, err := exec.Command(d.binary, "cli", "--controller="+d.socket(), "--output=json", "--command="+command).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command, err, out)
	}
	return string(out), nil
}

// has checks that the runtime state appears in at least n servers.
func (d threeHosts) has(n int, state, address string) error {
	out, err := d.cli("/host=*/server=*:read-attribute(name=server-state)")
	if err == nil && strings.Count(out, `"`+state+`"`) < n {
		err = fmt.Errorf("%s: %s", address, out)
	}
	return err
}

// forwardPostgres makes a database reachable at an address of the network: the
// private server of the tests listens on a socket of this machine only.
func forwardPostgres(t *testing.T, address string) (url string) {
	t.Helper()
	config, err := pgx.ParseConfig(postgrestest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	network, to := pgconn.NetworkAddress(config.Host, config.Port)
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go forward(in, network, to)
		}
	}()
	return fmt.Sprintf("postgresql://%s/%s?sslmode=disable", l.Addr(), config.Database)
}

func forward(in net.Conn, network, to string) {
	defer in.Close()
	out, err := net.Dial(network, to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(out, in); out.Close() }()
	_, _ = io.Copy(in, out)
}

func logIn(t *testing.T, b *formbrowser.Browser, address, user, password string) {
	t.Helper()
	page, err := b.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	form, err := page.Form("username")
	if err != nil {
		t.Fatal(err)
	}
	form.Values.Set("username", user)
	form.Values.Set("password", password)
	if page, err = b.Submit(t.Context(), form); err != nil {
		t.Fatal(err)
	}
	if page.Status != http.StatusOK || !strings.Contains(page.Text(), user) {
		t.Fatalf("after the login: %s, status %d: %.300s", page.URL, page.Status, page.Text())
	}
}

func seesAccount(t *testing.T, b *formbrowser.Browser, address, user string) {
	t.Helper()
	page, err := b.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if page.Status != http.StatusOK || !strings.Contains(page.Text(), user) || !strings.Contains(page.Text(), "Log out") {
		t.Fatalf("%s no longer knows the session: status %d: %.300s", page.URL, page.Status, page.Text())
	}
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
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
