package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// changing are the operations that the console writes with; each is planned
// first, and then sent as it was planned.
var changing = []string{"write-attribute", "undefine-attribute", "add", "remove", "revert"}

// planView shows what a change would do.
type planView struct {
	Operation string // as it is sent, JSON; "" when it has a secret
	Draft     string // then, what fetches it once
	Command   string // as the command line takes it, secrets masked
	Revision  uint64 // that it was planned on
	Comment   string
	Changes   []string
	Effect    string
	Servers   []affected
	Back      string
	Allowed   bool     // the caller may write it
	Rollout   bool     // it would reach servers
	Plans     []string // the stored rollout plans
}

type affected struct {
	Host   string `json:"host"`
	Server string `json:"server"`
	Group  string `json:"group"`
	Effect string `json:"effect"`
}

// plan shows what the change of a form would do; nothing is changed.
func (c *Console) plan(v *visit) {
	op, err := v.operationOf(v.r.PostForm)
	if err != nil {
		v.refuse(err)
		return
	}
	page := planView{Comment: v.r.PostForm.Get("comment"), Back: back(op), Command: v.command(op)}
	dry := op
	dry.Headers = map[string]any{"dry-run": true}
	var p struct {
		Changes profiles.ChangeSet `json:"changes"`
		Effect  string             `json:"effect"`
		Servers []affected         `json:"servers"`
	}
	if page.Revision, err = v.do(v.r.Context(), dry, &p); err != nil {
		v.refuse(err)
		return
	}
	page.Changes = linesOf(p.Changes)
	page.Effect, page.Servers = p.Effect, p.Servers
	page.Allowed = v.may(op.Address, op.Name, op.Params)
	if page.Allowed && len(page.Changes) > 0 {
		if page.Operation, page.Draft, err = v.carried(op); err != nil {
			v.fail(err)
			return
		}
	}
	if page.Rollout = len(p.Servers) > 0 && v.may(nil, "rolling-restart", nil); page.Rollout {
		if page.Plans, err = v.storedPlans(); err != nil {
			v.fail(err)
			return
		}
	}
	v.show("plan.html", view{Title: "What this would change", Section: sectionOf(op), Content: page})
}

// carried is how the page of a plan carries the change: in itself, so that any
// controller may take it; with a secret in it, as a draft of this controller.
func (v *visit) carried(op profiles.Operation) (text, draft string, err error) {
	sent, err := json.Marshal(op)
	if err != nil {
		return "", "", problem.Internal.Errorf("cannot encode the change: %w", err)
	}
	shown, err := json.Marshal(maskedOperation(op))
	if err == nil && bytes.Equal(sent, shown) {
		return string(sent), "", nil
	}
	draft, err = v.drafts.put(v.owner(), sent)
	return "", draft, err
}

// owner is who may use a draft: the visitor, in this session.
func (v *visit) owner() string { return v.caller.Name + "\x00" + v.caller.Session }

// planned is the change that a plan's page carries.
func (v *visit) planned(form url.Values) (profiles.Operation, error) {
	text := []byte(form.Get("operation"))
	var op profiles.Operation
	if draft := form.Get("draft"); draft != "" {
		var err error
		if text, err = v.drafts.take(v.owner(), draft); err != nil {
			return op, err
		}
	}
	if err := json.Unmarshal(text, &op); err != nil {
		return op, problem.Invalid.Errorf("cannot read the change: %w", err)
	}
	return op, nil
}

// refuse shows the form again that asked for a change, with what is wrong.
func (v *visit) refuse(err error) {
	switch form := v.r.PostForm; form.Get("do") {
	case "write-attribute":
		v.showEdit(form, err)
	case "add":
		v.showAdd(form, err)
	default:
		v.fail(err)
	}
}

// linesOf prints changes, one a line, secrets masked whoever reads them.
func linesOf(cs profiles.ChangeSet) []string {
	lines := make([]string, len(cs))
	for i, c := range cs {
		if d, err := profiles.Domain.Describe(c.Address); err == nil {
			for _, a := range d.Attributes {
				if a.Sensitive && !slices.Contains(c.Sensitive, a.Name) {
					c.Sensitive = append(c.Sensitive, a.Name)
				}
			}
		}
		lines[i] = c.Masked().String()
	}
	return lines
}

// command is the operation as the command line takes it.
func (v *visit) command(op profiles.Operation) string { return maskedOperation(op).String() }

// operationOf reads the change that a form asks for.
func (v *visit) operationOf(form url.Values) (profiles.Operation, error) {
	op := profiles.Operation{Name: form.Get("do"), Params: map[string]any{}}
	if op.Name == "revert" {
		to, err := strconv.ParseInt(form.Get("to"), 10, 64)
		if err != nil || to < 0 {
			return op, problem.Invalid.Errorf("cannot revert to %q: want a revision's number", form.Get("to"))
		}
		op.Params["to"] = to
		return op, nil
	}
	at, err := profiles.ParseAddress(form.Get("at"))
	if err != nil {
		return op, err
	}
	op.Address = at
	switch op.Name {
	case "remove":
		return op, nil
	case "undefine-attribute":
		op.Params["name"] = form.Get("name")
		return op, nil
	case "write-attribute":
		return op, v.writing(&op, form)
	case "add":
		return op, adding(&op, form)
	}
	return op, problem.Invalid.Errorf("cannot plan %q: the console changes with %s", op.Name, strings.Join(changing, ", "))
}

// writing reads the value of an attribute; none undefines it.
func (v *visit) writing(op *profiles.Operation, form url.Values) error {
	r, err := v.resourceOf(op.Address.String())
	if err != nil {
		return err
	}
	a, ok := r.description.Attribute(form.Get("name"))
	if !ok {
		return problem.NotFound.Errorf("cannot write attribute %q of %s: there is none of that name", form.Get("name"), op.Address)
	}
	value, err := valueOf(form, a, r.attributes[a.Name])
	if err != nil {
		return err
	}
	op.Params["name"] = a.Name
	if value == nil {
		op.Name = "undefine-attribute"
		return nil
	}
	op.Params["value"] = value
	return nil
}

// adding reads a new resource.
func adding(op *profiles.Operation, form url.Values) error {
	typ, name := form.Get("type"), strings.TrimSpace(form.Get("name"))
	if name == "" || name == profiles.Wildcard {
		return problem.Invalid.Errorf("cannot add a %s to %s without a name", typ, op.Address)
	}
	op.Address = op.Address.Child(typ, name)
	d, err := profiles.Domain.Describe(op.Address)
	if err != nil {
		return err
	}
	for i := range d.Attributes {
		a := &d.Attributes[i]
		value, err := valueOf(form, a, nil)
		if err != nil {
			return err
		}
		if value != nil {
			op.Params[a.Name] = value
		}
	}
	return nil
}

// commit writes a change as it was planned, if the domain is still at the
// revision that it was planned on.
func (c *Console) commit(v *visit) {
	form := v.r.PostForm
	op, err := v.planned(form)
	if err != nil {
		v.fail(err)
		return
	}
	planned, err := strconv.ParseInt(form.Get("revision"), 10, 64)
	if err != nil || !slices.Contains(changing, op.Name) {
		v.fail(problem.Invalid.Errorf("cannot write a change that was not planned"))
		return
	}
	op.Headers = map[string]any{"expect-revision": planned}
	if comment := strings.TrimSpace(form.Get("comment")); comment != "" {
		op.Headers["comment"] = comment
	}
	if way := rolloutOf(form); way != nil {
		op.Headers["rollout"] = way
		v.roll(op, "written")
		return
	}
	revision, over, err := v.begin(op)
	switch {
	case err != nil:
		v.fail(err)
	case !over:
		http.Redirect(v.w, v.r, "/console/history?done=under-way", http.StatusSeeOther)
	default:
		q := url.Values{"number": {strconv.FormatUint(revision, 10)}, "done": {"written"}}
		http.Redirect(v.w, v.r, "/console/revision?"+q.Encode(), http.StatusSeeOther)
	}
}

// back is where a change was asked for.
func back(op profiles.Operation) string {
	switch op.Name {
	case "revert":
		return "/console/history"
	case "add":
		return browse(op.Address.Parent())
	}
	return browse(op.Address)
}

func sectionOf(op profiles.Operation) string {
	if op.Name == "revert" {
		return "/console/history"
	}
	return "/console/configuration"
}

// doneText is what a redirect says was done: one of these sentences, so that no
// link can make a page say anything else.
func doneText(r *http.Request) string {
	switch r.URL.Query().Get("done") {
	case "written":
		return "The change is written."
	case "ordered":
		return "Done."
	case "user-added":
		return "The user is added and may sign in now."
	case "user-removed":
		return "The user is removed; their sessions are over."
	case "roles-set":
		return "The roles are set; they hold from the user's next click."
	case "password-set":
		return "The password is set; the user's sessions are over."
	case "sessions-ended":
		return "The user's sessions are over; they may sign in again."
	case "revoked":
		return "The host's certificates are refused. With its join token it may come back: remove it, or give it a new token, if it must not."
	case "host-removed":
		return "The host is no part of the domain any more. Its servers run until somebody stops them."
	case "under-way":
		return "It is under way; this page shows how far it is."
	}
	return ""
}
