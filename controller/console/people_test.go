package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/access"
)

const another = "an0ther-horse"

// may reports whether a name and password open a session.
func (s *site) may(name, secret string) bool {
	r, _ := s.browser().post("/console/sign-in", url.Values{"name": {name}, "password": {secret}})
	return r.StatusCode == http.StatusSeeOther
}

func (b *browser) csrf() string { return b.form(b.page("/console/history")).Get("csrf") }

func TestManagementUsersAreAddedChangedAndRemoved(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	csrf := b.csrf()
	send := func(path string, form url.Values, want int) string {
		t.Helper()
		form.Set("csrf", csrf)
		r, text := b.post(path, form)
		if r.StatusCode != want {
			t.Fatalf("POST %s %v: %s\n%s", path, form, r.Status, text)
		}
		return text
	}
	eve := url.Values{"name": {"eve"}, "password": {password}, "again": {password}, "role": {"Operator", "Deployer"}, "hosts": {"h1, h2"}, "server-groups": {"a"}}
	send("/console/access/add", eve, http.StatusSeeOther)
	if text := b.page("/console/access"); !strings.Contains(text, "Operator within hosts h1, h2 and server groups a") || !strings.Contains(text, "Deployer within") {
		t.Errorf("the list says\n%s", text)
	}
	user, err := s.users.User(t.Context(), "eve")
	if err != nil || len(user.Grants) != 2 || len(user.Grants[1].Hosts) != 2 || user.Grants[1].ServerGroups[0] != "a" {
		t.Fatalf("eve is %+v, %v", user.Grants, err)
	}
	again := send("/console/access/add", eve, http.StatusConflict)
	if !strings.Contains(again, "it exists") || !strings.Contains(again, `value="h1, h2"`) || strings.Contains(again, password) {
		t.Errorf("a second eve:\n%s", again)
	}

	theirs := s.browser()
	theirs.post("/console/sign-in", url.Values{"name": {"eve"}, "password": {password}})
	page := "/console/access/user"
	if text := b.page(page + "?name=eve"); !strings.Contains(text, `value="Operator" checked`) || strings.Contains(text, `value="SuperUser" checked`) || !strings.Contains(text, `value="h1, h2"`) {
		t.Errorf("eve's page says\n%s", text)
	}
	send(page, url.Values{"name": {"eve"}, "do": {"end-user-sessions"}}, http.StatusSeeOther)
	if r, _ := theirs.get("/console"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("a session that was ended: %s", r.Status)
	}
	send(page, url.Values{"name": {"eve"}, "do": {"set-user-roles"}, "role": {"Monitor"}}, http.StatusSeeOther)
	if user, _ := s.users.User(t.Context(), "eve"); len(user.Grants) != 1 || user.Grants[0].Role != access.Monitor || user.Grants[0].Scoped() {
		t.Errorf("eve has %+v", user.Grants)
	}
	send(page, url.Values{"name": {"eve"}, "do": {"set-user-roles"}}, http.StatusBadRequest)
	send(page, url.Values{"name": {"eve"}, "do": {"set-user-password"}, "password": {another}, "again": {"an0ther-horze"}}, http.StatusBadRequest)
	send(page, url.Values{"name": {"eve"}, "do": {"set-user-password"}, "password": {"short"}, "again": {"short"}}, http.StatusBadRequest)
	send(page, url.Values{"name": {"eve"}, "do": {"set-user-password"}, "password": {another}, "again": {another}}, http.StatusSeeOther)
	if s.may("eve", password) || !s.may("eve", another) {
		t.Error("the password was not changed")
	}
	send(page, url.Values{"name": {"eve"}, "do": {"apply"}}, http.StatusBadRequest)
	send(page, url.Values{"name": {"ann"}, "do": {"remove-user"}}, http.StatusPreconditionFailed)
	send(page, url.Values{"name": {"eve"}, "do": {"remove-user"}}, http.StatusSeeOther)
	if s.may("eve", another) {
		t.Error("eve is still there")
	}
	if r, _ := b.get(page + "?name=eve"); r.StatusCode != http.StatusNotFound {
		t.Errorf("her page: %s", r.Status)
	}
	if log := s.audited(); strings.Contains(log, password) || strings.Contains(log, another) || !strings.Contains(log, "set-user-password") {
		t.Error("the audit log has a password, or not what was done")
	}
}

func TestWhoMayNotManageUsersSeesNoneOfIt(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("max", access.Grant{Role: access.Maintainer})
	if strings.Contains(b.page("/console"), "/console/access") {
		t.Error("the way there is offered")
	}
	for _, path := range []string{"/console/access", "/console/access/add", "/console/access/user?name=max"} {
		if r, _ := b.get(path); r.StatusCode != http.StatusForbidden {
			t.Errorf("GET %s: %s", path, r.Status)
		}
	}
	csrf := b.csrf()
	for path, form := range map[string]url.Values{
		"/console/access/add":     {"name": {"eve"}, "password": {password}, "again": {password}, "role": {"SuperUser"}},
		"/console/access/user":    {"name": {"max"}, "do": {"set-user-roles"}, "role": {"SuperUser"}},
		"/console/access/hosts":   {"host": {"h9"}, "do": {"add-host"}},
		"/console/support-bundle": {},
	} {
		form.Set("csrf", csrf)
		if r, text := b.post(path, form); r.StatusCode != http.StatusForbidden || strings.Contains(text, hostToken) {
			t.Errorf("POST %s: %s", path, r.Status)
		}
	}
	if users, _ := s.users.Users(t.Context()); len(users) != 1 || users[0].Grants[0].Role != access.Maintainer {
		t.Errorf("the users are %+v", users)
	}
	auditor := s.signedIn("ada", access.Grant{Role: access.Auditor})
	if text := auditor.page("/console/access/user?name=max"); strings.Contains(text, `name="do"`) {
		t.Error("an Auditor is offered a change of a user")
	}
}

func TestAHostsJoinTokenIsShownOnceToWhomItWasMadeFor(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	csrf := b.csrf()
	r, text := b.post("/console/access/hosts", url.Values{"csrf": {csrf}, "do": {"add-host"}, "host": {"h9"}})
	if r.StatusCode != http.StatusOK || !strings.Contains(text, hostToken) || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, %v\n%s", r.Status, r.Header, text)
	}
	for _, path := range pages {
		if _, text := b.get(path); strings.Contains(text, hostToken) {
			t.Errorf("%s has the token too", path)
		}
	}
	if strings.Contains(s.audited(), hostToken) {
		t.Error("the audit log has the token")
	}
	for do, want := range map[string]int{"revoke": http.StatusSeeOther, "remove-host": http.StatusSeeOther, "shutdown": http.StatusBadRequest} {
		if r, _ := b.post("/console/access/hosts", url.Values{"csrf": {csrf}, "do": {do}, "host": {"h1"}}); r.StatusCode != want {
			t.Errorf("%s: %s", do, r.Status)
		}
	}
	if r, _ := b.post("/console/access/hosts", url.Values{"csrf": {csrf}, "do": {"remove-host"}, "host": {" "}}); r.StatusCode != http.StatusBadRequest {
		t.Errorf("without a name: %s", r.Status)
	}
}

func TestSignOutEndsTheSessionWhereverItsCookieIs(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	u, _ := url.Parse(b.url + "/console")
	stolen := b.client.Jar.Cookies(u)[0]
	other := s.browser()
	if r, _ := other.post("/console/sign-in", url.Values{"name": {"ann"}, "password": {password}}); r.StatusCode != http.StatusSeeOther {
		t.Fatal(r.Status)
	}
	thief := s.browser()
	thief.header.Set("Cookie", stolen.Name+"="+stolen.Value)
	thief.page("/console")
	b.post("/console/sign-out", url.Values{"csrf": {b.csrf()}})
	if r, _ := thief.get("/console"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("the cookie after the sign-out: %s", r.Status)
	}
	thief.header.Set("Gatehouse-Refresh", "1")
	if r, _ := thief.get("/console"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("another tab's look: %s", r.Status)
	}
	other.page("/console") // another sign-in of the same person goes on
}

func TestATypedSecretIsInNoPage(t *testing.T) {
	const typed = "typed-0nce-only"
	s := serve(t, clock.Real())
	ann, eve := s.signedIn("ann", superUser), s.signedIn("eve", superUser)
	at := "/profile=web/subsystem=datasources/data-source=KeycloakDS"
	edit := ann.page("/console/configuration/edit?" + url.Values{"at": {at}, "name": {"password"}}.Encode())
	plan := func(secret string) url.Values {
		t.Helper()
		r, text := ann.post("/console/plan", ann.form(edit, "do", "write-attribute", "value.password", secret))
		if r.StatusCode != http.StatusOK || strings.Contains(text, typed) || !strings.Contains(text, "it is not in this page") {
			t.Fatalf("%s\n%s", r.Status, text)
		}
		return ann.form(text)
	}
	form := plan(typed)
	if r, _ := ann.post("/console/commit", form); r.StatusCode != http.StatusSeeOther || s.revision() != 1 {
		t.Fatalf("commit: %s, revision %d", r.Status, s.revision())
	}
	if text := s.model.Tree().Value(address(t, at), "password"); text != typed {
		t.Errorf("the password is %v", text)
	}
	if r, _ := ann.post("/console/commit", form); r.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("a second use: %s", r.Status)
	}
	form = plan(typed + "-again")
	form.Set("csrf", eve.csrf())
	if r, _ := eve.post("/console/commit", form); r.StatusCode != http.StatusPreconditionFailed || s.revision() != 1 {
		t.Errorf("another's use: %s", r.Status)
	}
}
