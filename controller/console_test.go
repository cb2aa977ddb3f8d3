package controller_test

import (
	"context"
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// person uses the console of one controller.
type person struct {
	t    *testing.T
	http http.Client
	at   string
}

func (p *process) person(name, password string) *person {
	p.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_, address, _ := p.c.Addresses()
	who := &person{t: p.t, at: "https://" + address, http: http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}}}
	// It begins where a person types the address.
	if page := who.open("/"); !strings.Contains(page, "Sign in") {
		p.t.Fatalf("the first page is\n%s", page)
	}
	if page := who.send("/console/sign-in", url.Values{"name": {name}, "password": {password}}); !strings.Contains(page, "signed in as") {
		p.t.Fatalf("the sign-in gives\n%s", page)
	}
	return who
}

func (w *person) open(path string) string {
	w.t.Helper()
	return w.text(w.http.Get(w.at + path))
}

func (w *person) send(path string, form url.Values) string {
	w.t.Helper()
	return w.text(w.http.PostForm(w.at+path, form))
}

func (w *person) text(r *http.Response, err error) string {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

var hiddenFields = regexp.MustCompile(`<input type="hidden" name="([a-z]+)" value="([^"]*)">`)

func formOf(page string, pairs ...string) url.Values {
	form := url.Values{}
	for _, f := range hiddenFields.FindAllStringSubmatch(page, -1) {
		form.Set(f[1], html.UnescapeString(f[2]))
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

const consolePassword = "correct-h0rse"

func TestTheConsoleServesWholeAtEveryController(t *testing.T) {
	all := cluster(t)
	leader := all[leaderOf(t, all["c1"])]
	leader.furnish()
	leader.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	leader.do("add-user", "", "name", "ann", "password", consolePassword, "roles", "SuperUser")
	for name, c := range all {
		until(t, name+" knows the user", func() bool {
			r, err := c.try("list-users", "")
			users, _ := r.Result.(map[string]any)
			return err == nil && users["ann"] != nil
		})
		ann := c.person("ann", consolePassword)
		until(t, "the console of "+name+" shows the domain", func() bool {
			page := ann.open("/console")
			return strings.Contains(page, "host2") && strings.Contains(page, "STARTED") && strings.Contains(page, "c1") && strings.Contains(page, "leader")
		})
		edit := ann.open("/console/configuration/edit?at=/profile%3Dweb/subsystem%3Didentity&name=display-name")
		plan := ann.send("/console/plan", formOf(edit, "do", "write-attribute", "value.display-name", "written at "+name, "comment", "at "+name))
		if !strings.Contains(plan, "host2") || !strings.Contains(plan, "live") {
			t.Errorf("%s: the plan does not name the server that it reaches:\n%s", name, plan)
		}
		if done := ann.send("/console/commit", formOf(plan, "comment", "at "+name)); !strings.Contains(done, "The change is written.") || !strings.Contains(done, "at "+name) {
			t.Errorf("%s: the commit gives\n%s", name, done)
		}
	}
	if got := leader.do("read-attribute", "/profile=web/subsystem=identity", "name", "display-name").Result; !strings.HasPrefix(got.(string), "written at ") {
		t.Errorf("display-name is %v", got)
	}
	signedOutEverywhere(t, leader.person("ann", consolePassword), all)
}

// signedOutEverywhere signs a person out at one controller; a copy of the cookie
// is then worth nothing at any.
func signedOutEverywhere(t *testing.T, ann *person, all map[string]*process) {
	t.Helper()
	here, err := url.Parse(ann.at + "/console")
	if err != nil {
		t.Fatal(err)
	}
	copied := ann.http.Jar.Cookies(here)
	send := ann.at
	for _, signedIn := range []bool{true, false} {
		for name, c := range all {
			ann.http.Jar.SetCookies(here, copied)
			_, address, _ := c.c.Addresses()
			ann.at = "https://" + address
			until(t, name+" knows whether ann is signed in", func() bool {
				return strings.Contains(ann.open("/console"), "signed in as") == signedIn
			})
		}
		if ann.at = send; signedIn {
			ann.http.Jar.SetCookies(here, copied)
			ann.send("/console/sign-out", formOf(ann.open("/console/history")))
		}
	}
}

func TestTheConsoleRestartsAServerAndRollsAGroup(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "host2", Operations: hostOperations(t, "host2", "one")})
	p.do("add-user", "", "name", "ann", "password", consolePassword, "roles", "Operator")
	ann := p.person("ann", consolePassword)
	until(t, "the server runs", func() bool { return strings.Contains(ann.open("/console"), "STARTED") })
	server := ann.open("/console/server?host=host2&name=one")
	if done := ann.send("/console/server", formOf(server, "order", "restart")); !strings.Contains(done, "Done.") && !strings.Contains(done, "under way") {
		t.Errorf("the restart gives\n%s", done)
	}
	ann.send("/console/rollouts", formOf(ann.open("/console/rollouts"), "group", "web"))
	until(t, "the rollout is listed", func() bool {
		page := ann.open("/console/rollouts")
		return strings.Contains(page, "by ann") && strings.Contains(page, ">done<")
	})
}

// fingerprintAt is that of the authority which signed the certificate of a port.
func fingerprintAt(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chain := conn.ConnectionState().PeerCertificates
	return certs.Fingerprint(chain[len(chain)-1])
}

func TestTheCommandLineStillUsesTheConsolesPort(t *testing.T) {
	p := start(t, controller.Config{})
	p.do("add-user", "", "name", "ann", "password", consolePassword, "roles", "Monitor")
	_, address, _ := p.c.Addresses()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cli, err := client.Dial(ctx, client.Config{Addresses: []string{address}, Fingerprint: fingerprintAt(t, address),
		User: "ann", Password: func() (string, error) { return consolePassword, nil }, Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Close()
	if _, err := cli.Execute(ctx, operation(t, "whoami", "")); err != nil {
		t.Error(err)
	}
}
