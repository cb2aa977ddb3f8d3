package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const identity = "/profile=web/subsystem=identity"

// change writes an attribute of the identity subsystem as a person does.
func (b *browser) change(t *testing.T, name, value, comment string) (*http.Response, string) {
	t.Helper()
	edit := b.page("/console/configuration/edit?" + url.Values{"at": {identity}, "name": {name}}.Encode())
	r, plan := b.post("/console/plan", b.form(edit, "do", "write-attribute", "value."+name, value, "comment", comment))
	if r.StatusCode != http.StatusOK {
		return r, plan
	}
	return b.post("/console/commit", b.form(plan, "comment", comment))
}

func TestAChangeIsPlannedThenWrittenWithItsComment(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	edit := b.page("/console/configuration/edit?" + url.Values{"at": {identity}, "name": {"web-context"}}.Encode())
	for _, want := range []string{`value="auth"`, "when the servers reload", "type string"} {
		if !strings.Contains(edit, want) {
			t.Errorf("the form does not say %q", want)
		}
	}
	_, plan := b.post("/console/plan", b.form(edit, "do", "write-attribute", "value.web-context", "sso", "comment", "one name"))
	if s.revision() != 0 {
		t.Fatal("the plan changed something")
	}
	if !strings.Contains(plan, "sso") || !strings.Contains(plan, "only if the domain is still at revision 0") {
		t.Errorf("the plan says\n%s", plan)
	}
	r, _ := b.post("/console/commit", b.form(plan, "comment", "one name"))
	if r.StatusCode != http.StatusSeeOther || s.revision() != 1 {
		t.Fatalf("commit: %s, revision %d", r.Status, s.revision())
	}
	text := b.page(r.Header.Get("Location"))
	for _, want := range []string{"Revision 1", "ann", "one name", "sso", "The change is written."} {
		if !strings.Contains(text, want) {
			t.Errorf("the revision's page does not say %q", want)
		}
	}
}

func TestTwoOperatorsDoNotOverwriteOneAnother(t *testing.T) {
	s := serve(t, clock.Real())
	ann, bob := s.signedIn("ann", superUser), s.signedIn("bob", superUser)
	edit := ann.page("/console/configuration/edit?" + url.Values{"at": {identity}, "name": {"web-context"}}.Encode())
	_, plan := ann.post("/console/plan", ann.form(edit, "do", "write-attribute", "value.web-context", "one"))
	bob.change(t, "display-name", "two", "meanwhile")
	r, text := ann.post("/console/commit", ann.form(plan))
	if r.StatusCode != http.StatusPreconditionFailed || !strings.Contains(text, "by bob") || s.revision() != 1 {
		t.Errorf("%s, revision %d\n%s", r.Status, s.revision(), text)
	}
}

func TestARefusedValueSaysWhatIsValid(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	r, text := b.change(t, "scheduled-task-interval", "soon", "")
	if r.StatusCode != http.StatusBadRequest || !strings.Contains(text, "scheduled-task-interval") ||
		!strings.Contains(text, `value="soon"`) || !strings.Contains(text, `role="alert"`) || s.revision() != 0 {
		t.Errorf("%s\n%s", r.Status, text)
	}
}

func TestAResourceIsAddedRemovedAndReverted(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	commit := func(page string, pairs ...string) {
		t.Helper()
		r, plan := b.post("/console/plan", b.form(page, pairs...))
		if r.StatusCode != http.StatusOK {
			t.Fatalf("plan: %s\n%s", r.Status, plan)
		}
		if r, text := b.post("/console/commit", b.form(plan)); r.StatusCode != http.StatusSeeOther {
			t.Fatalf("commit: %s\n%s", r.Status, text)
		}
	}
	at := profiles.Address{{Type: "system-property", Name: "colour"}}
	commit(b.page("/console/configuration/add?at=/&type=system-property"), "name", "colour", "value.value", "green")
	if got := s.model.Tree().Value(at, "value"); got != "green" {
		t.Fatalf("the property is %v", got)
	}
	commit(b.page("/console/configuration?at=/system-property%3Dcolour"), "do", "remove")
	if s.model.Tree().Has(at) {
		t.Fatal("it is still there")
	}
	commit(b.page("/console/revision?number=1"), "do", "revert")
	if !s.model.Tree().Has(at) || s.revision() != 3 {
		t.Errorf("revision %d, the property is there: %t", s.revision(), s.model.Tree().Has(at))
	}
}

func TestTheOverviewShowsWhatRuns(t *testing.T) {
	text := serve(t, clock.Real()).signedIn("ann", superUser).page("/console")
	for _, want := range []string{"h1", "FAILED", "DISABLED", "cannot open the database", "s1", "c1", "leader", "load balancer", "3</dd>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the overview does not say %q", want)
		}
	}
}

func TestHostileTextsStayTexts(t *testing.T) {
	s := serve(t, clock.Real())
	s.model.Logs["one"] = hostile
	b := s.signedIn("ann", superUser)
	r, text := b.change(t, "display-name", hostile, hostile)
	if r.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s\n%s", r.Status, text)
	}
	for _, path := range append(pages, "/console/revision?number=1", "/console/configuration?at="+url.QueryEscape("/profile="+hostile),
		"/console/server?host=h1&name="+url.QueryEscape(hostile), "/console/sign-in?to="+url.QueryEscape(hostile), "/console?done="+url.QueryEscape(hostile)) {
		_, text := b.get(path)
		if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x") {
			t.Errorf("%s lets a text be markup", path)
		}
	}
	_, plan := b.post("/console/plan", b.form(b.page("/console/configuration/edit?"+url.Values{"at": {identity}, "name": {"display-name"}}.Encode()), "do", "write-attribute", "value.display-name", hostile+"2"))
	if strings.Contains(plan, "<script>alert") || !strings.Contains(plan, "&lt;script&gt;") {
		t.Error("the plan lets a value be markup")
	}
}

func TestSecretsAreNeverShownNotEvenToASuperUser(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	at := "/profile=web/subsystem=datasources/data-source=KeycloakDS"
	_, plan := b.post("/console/plan", b.form(b.page("/console/configuration?at="+url.QueryEscape(at)), "do", "remove"))
	r, _ := b.post("/console/commit", b.form(plan))
	if r.StatusCode != http.StatusSeeOther {
		t.Fatalf("commit: %s", r.Status)
	}
	shown := plan
	for _, path := range append(pages, "/console/revision?number=1") {
		_, text := b.get(path)
		shown += text
	}
	if strings.Contains(shown, secret) {
		t.Error("a page shows a secret")
	}
}

func TestASecretAmongPropertiesSurvivesAnEditOfTheOthers(t *testing.T) {
	s := serve(t, clock.Real())
	at := profiles.Address{{Type: "profile", Name: "web"}, {Type: "subsystem", Name: "identity"}, {Type: "spi", Name: "truststore"}, {Type: "provider", Name: "file"}}
	b := s.signedIn("ann", superUser)
	edit := b.page("/console/configuration/edit?" + url.Values{"at": {at.String()}, "name": {"properties"}}.Encode())
	r, plan := b.post("/console/plan", b.form(edit, "do", "write-attribute", "value.properties", "file = other.pem\r\npassword = "+access.Masked+"\r\n"))
	if r.StatusCode != http.StatusOK {
		t.Fatalf("plan: %s\n%s", r.Status, plan)
	}
	b.post("/console/commit", b.form(plan))
	properties, _ := s.model.Tree().Value(at, "properties").(map[string]any)
	if properties["file"] != "other.pem" || properties["password"] != secret {
		t.Errorf("properties are %v", properties)
	}
}

func TestWhatACallerMayNotDoIsNeitherOfferedNorDone(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("max", access.Grant{Role: access.Monitor})
	for _, path := range pages {
		r, text := b.get(path)
		if r.StatusCode == http.StatusOK && (strings.Contains(text, ">Edit<") || strings.Contains(text, "Remove this") || strings.Contains(text, "+ add") ||
			strings.Contains(text, "Revert to") || strings.Contains(text, "rolling restart</button>") || strings.Contains(text, `name="order"`)) {
			t.Errorf("%s offers a Monitor a change", path)
		}
	}
	csrf := b.form(b.page("/console/history")).Get("csrf")
	for path, form := range map[string]url.Values{
		"/console/commit":   {"operation": {`{"operation":"write-attribute","address":"` + identity + `","name":"web-context","value":"x"}`}, "revision": {"0"}},
		"/console/server":   {"host": {"h1"}, "name": {"one"}, "order": {"stop"}},
		"/console/rollouts": {"all": {"yes"}},
	} {
		form.Set("csrf", csrf)
		if r, text := b.post(path, form); r.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s: %s\n%s", path, r.Status, text)
		}
	}
	if s.revision() != 0 {
		t.Error("something was changed")
	}
	if !strings.Contains(s.audited(), `"denied"`) {
		t.Error("the refusals are not in the audit log")
	}
}

func TestOnlyTheConsolesOperationsAreSent(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	csrf := b.form(b.page("/console/history")).Get("csrf")
	for _, operation := range []string{`{"operation":"add-user","name":"eve","password":"evil-pass-1","roles":"SuperUser"}`, `{"operation":"apply","toml":""}`, `{"operation":"composite","steps":[]}`, `{`, ``} {
		if r, _ := b.post("/console/commit", url.Values{"csrf": {csrf}, "operation": {operation}, "revision": {"0"}}); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", operation, r.Status)
		}
	}
}

func TestOutOfScopeLooksAbsent(t *testing.T) {
	b := serve(t, clock.Real()).signedIn("gus", access.Grant{Role: access.Maintainer, ServerGroups: []string{"b"}})
	if r, _ := b.get("/console/configuration?at=/server-group%3Da"); r.StatusCode != http.StatusNotFound {
		t.Errorf("a group out of scope: %s", r.Status)
	}
	if text := b.page("/console/configuration"); strings.Contains(text, "server-group%3Da") || !strings.Contains(text, "server-group%3Db") {
		t.Error("the list of groups is not the caller's")
	}
}

func TestAPagesOwnRefreshIsNotAudited(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	b.page("/console")
	before := s.audited()
	if !strings.Contains(before, `"console"`) || !strings.Contains(before, "hosts") {
		t.Errorf("the visit is not in the audit log:\n%s", before)
	}
	b.header.Set("Gatehouse-Refresh", "1")
	b.page("/console")
	if after := s.audited(); after != before {
		t.Errorf("the refresh added\n%s", after[len(before):])
	}
}
