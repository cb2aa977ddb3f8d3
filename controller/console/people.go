package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// personLine is one management user.
type personLine struct {
	Name   string         `json:"-"`
	Grants []access.Grant `json:"grants"`
	Self   bool           `json:"-"` // it is the visitor
}

// Page is where the user is shown alone.
func (p personLine) Page() string {
	return "/console/access/user?" + url.Values{"name": {p.Name}}.Encode()
}

// Roles are the user's roles, each with its scope, in words.
func (p personLine) Roles() []string {
	list := make([]string, len(p.Grants))
	for i, g := range p.Grants {
		list[i] = string(g.Role)
		var within []string
		if len(g.Hosts) > 0 {
			within = append(within, "hosts "+strings.Join(g.Hosts, ", "))
		}
		if len(g.ServerGroups) > 0 {
			within = append(within, "server groups "+strings.Join(g.ServerGroups, ", "))
		}
		if len(within) > 0 {
			list[i] += " within " + strings.Join(within, " and ")
		}
	}
	return list
}

// people lists the management users.
func (v *visit) people() ([]personLine, error) {
	var users map[string]personLine
	if _, err := v.read(nil, "list-users", nil, &users); err != nil {
		return nil, err
	}
	list := make([]personLine, 0, len(users))
	for name, p := range users {
		p.Name, p.Self = name, name == v.caller.Name
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b personLine) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// personForm is what a form says of a user, and what it may say.
type personForm struct {
	Name         string
	Given        []string // the roles that are ticked
	Hosts        string   // names, separated by commas
	ServerGroups string
	Roles        []roleChoice
	Rules        []string // of a password
}

type roleChoice struct{ Name, Text string }

// Has reports whether a role is ticked.
func (f personForm) Has(role string) bool { return slices.Contains(f.Given, role) }

// roleChoices say what each role may do.
func roleChoices() []roleChoice {
	text := map[access.Role]string{
		access.Monitor:       "sees configuration and what runs, nothing secret",
		access.Operator:      "Monitor, and starts, stops and restarts servers",
		access.Maintainer:    "Operator, and changes the configuration, nothing secret",
		access.Deployer:      "Monitor, and changes themes, SPIs and providers of identity servers",
		access.Administrator: "everything but the audit log",
		access.Auditor:       "sees everything, changes the audit log only",
		access.SuperUser:     "everything",
	}
	var list []roleChoice
	for _, r := range access.Roles() {
		list = append(list, roleChoice{string(r), text[r]})
	}
	return list
}

// newPersonForm is a form with its choices, as an earlier one was filled in.
func newPersonForm(form url.Values) personForm {
	return personForm{
		Name: form.Get("name"), Given: form["role"], Hosts: form.Get("hosts"), ServerGroups: form.Get("server-groups"),
		Roles: roleChoices(), Rules: access.PasswordRules(),
	}
}

// grants are the parameters of an operation that a form's roles and scopes give.
func grants(form url.Values) map[string]any {
	list := func(values []string) []any {
		out := []any{}
		for _, value := range values {
			for name := range strings.SplitSeq(value, ",") {
				if name = strings.TrimSpace(name); name != "" {
					out = append(out, name)
				}
			}
		}
		return out
	}
	params := map[string]any{"name": strings.TrimSpace(form.Get("name")), "roles": list(form["role"])}
	for _, scope := range []string{"hosts", "server-groups"} {
		if names := list(form[scope]); len(names) > 0 {
			params[scope] = names
		}
	}
	return params
}

// password reads a new password, which a form asks for twice.
func password(form url.Values) (string, error) {
	if form.Get("password") != form.Get("again") {
		return "", problem.Invalid.Errorf("cannot use this password: the two are not the same")
	}
	return form.Get("password"), nil
}

// addPerson shows the form of a new user.
func (c *Console) addPerson(v *visit) { v.showAddPerson(url.Values{}, nil) }

func (v *visit) showAddPerson(form url.Values, wrong error) {
	if !v.may(nil, "add-user", nil) {
		v.fail(cmp.Or(wrong, error(problem.Forbidden.Errorf("cannot add a management user: your roles do not allow it"))))
		return
	}
	v.showAs(statusOf(wrong), "person-add.html", view{Title: "Add a management user", Section: accessSection, Content: newPersonForm(form)}.wrong(wrong))
}

// createPerson adds a user.
func (c *Console) createPerson(v *visit) {
	form := v.r.PostForm
	params := grants(form)
	secret, err := password(form)
	if err == nil {
		params["password"] = secret
		_, err = v.do(v.r.Context(), profiles.Operation{Name: "add-user", Params: params}, nil)
	}
	if err != nil {
		v.showAddPerson(form, err)
		return
	}
	http.Redirect(v.w, v.r, accessSection+"?done=user-added", http.StatusSeeOther)
}

// personView shows one user.
type personView struct {
	personLine
	Form     personForm
	MayRoles bool
	// MayPassword: a new password may be set, sessions ended, the user removed.
	MayPassword bool
}

// person shows one user and what can be done with them.
func (c *Console) person(v *visit) { v.showPerson(v.r.URL.Query(), nil) }

func (v *visit) showPerson(form url.Values, wrong error) {
	list, err := v.people()
	if err != nil {
		v.fail(cmp.Or(wrong, err))
		return
	}
	name := form.Get("name")
	i := slices.IndexFunc(list, func(p personLine) bool { return p.Name == name })
	if i < 0 {
		v.fail(cmp.Or(wrong, error(problem.NotFound.Errorf("cannot find management user %q", name))))
		return
	}
	page := personView{personLine: list[i], Form: newPersonForm(form),
		MayRoles: v.may(nil, "set-user-roles", nil), MayPassword: v.may(nil, "set-user-password", nil)}
	if wrong == nil || form.Get("do") != "set-user-roles" {
		page.Form.Given, page.Form.Hosts, page.Form.ServerGroups = page.given()
	}
	v.showAs(statusOf(wrong), "person.html", view{Title: name, Section: accessSection, Content: page}.wrong(wrong))
}

// given is what the user has now, as a form says it. The console's form has one
// scope for all roles, as the operation does.
func (p personLine) given() (roles []string, hosts, groups string) {
	var h, g []string
	for _, grant := range p.Grants {
		roles = append(roles, string(grant.Role))
		h, g = append(h, grant.Hosts...), append(g, grant.ServerGroups...)
	}
	join := func(names []string) string {
		slices.Sort(names)
		return strings.Join(slices.Compact(names), ", ")
	}
	return roles, join(h), join(g)
}

// changePerson does what a form of a user's page asks for.
func (c *Console) changePerson(v *visit) {
	form := v.r.PostForm
	op := profiles.Operation{Name: form.Get("do"), Params: map[string]any{"name": form.Get("name")}}
	done := map[string]string{"set-user-roles": "roles-set", "set-user-password": "password-set", "end-user-sessions": "sessions-ended", "remove-user": "user-removed"}[op.Name]
	var err error
	switch op.Name {
	case "set-user-roles":
		op.Params = grants(form)
	case "set-user-password":
		op.Params["password"], err = password(form)
	case "end-user-sessions":
	case "remove-user":
		if form.Get("name") == v.caller.Name {
			err = problem.Precondition.Errorf("cannot remove the user that you are signed in as")
		}
	default:
		err = problem.Invalid.Errorf("cannot do %q with a user", op.Name)
	}
	if err == nil {
		_, err = v.do(v.r.Context(), op, nil)
	}
	if err != nil {
		v.showPerson(form, err)
		return
	}
	to := personLine{Name: form.Get("name")}.Page() + "&done=" + done
	if op.Name == "remove-user" {
		to = accessSection + "?done=" + done
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}
