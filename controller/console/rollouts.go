package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// rolloutLine is one rollout.
type rolloutLine struct {
	ID       string          `json:"rollout"`
	Author   string          `json:"author"`
	Started  time.Time       `json:"started"`
	Ended    time.Time       `json:"ended"`
	Revision uint64          `json:"revision"`
	Before   uint64          `json:"before"`
	State    string          `json:"state"`
	Problem  string          `json:"problem"`
	Servers  []rolloutServer `json:"servers"`
}

type rolloutServer struct {
	Host    string `json:"host"`
	Server  string `json:"server"`
	Group   string `json:"group"`
	Need    string `json:"need"`
	State   string `json:"state"`
	Problem string `json:"problem"`
}

// Over reports whether nothing more will happen.
func (r rolloutLine) Over() bool { return r.State != "running" && r.State != "restoring" }

// Done is how many of the servers have had their turn.
func (r rolloutLine) Done() int {
	n := 0
	for _, s := range r.Servers {
		if s.State != "pending" && s.State != "running" {
			n++
		}
	}
	return n
}

// Tone is how a rollout's or its server's state is coloured.
func (r rolloutLine) Tone() string { return toneOf(r.State) }

// Tone is how the state is coloured.
func (s rolloutServer) Tone() string { return toneOf(s.State) }

func toneOf(state string) string {
	switch state {
	case "done":
		return "good"
	case "failed":
		return "bad"
	case "restored", "restoring":
		return "warn"
	case "running":
		return "busy"
	}
	return "off"
}

// rolloutLines lists the rollouts kept, the newest first.
func (v *visit) rolloutLines() ([]rolloutLine, error) {
	var list []rolloutLine
	_, err := v.read(nil, "rollouts", nil, &list)
	return list, err
}

type rolloutsView struct {
	Rollouts []rolloutLine
	Groups   []string // whose servers the caller may restart
	All      bool     // those of the whole domain too
	Plans    []string // the stored rollout plans
}

// storedPlans are the names of the rollout plans that the domain keeps.
func (v *visit) storedPlans() (names []string, err error) {
	_, err = v.read(nil, "read-children-names", map[string]any{"child-type": "rollout-plan"}, &names)
	slices.Sort(names)
	return names, err
}

// rolloutOf is the header that a form's choice of a plan stands for: "default" is
// the safe one, "id=NAME" a stored one, nothing is no rollout.
func rolloutOf(form url.Values) any {
	way := form.Get("rollout")
	if name, stored := strings.CutPrefix(way, "id="); stored {
		return map[string]any{"id": name}
	}
	if way == "" {
		return nil
	}
	return true
}

// rollouts shows what is on its way and what was.
func (c *Console) rollouts(v *visit) {
	var page rolloutsView
	var err error
	if page.Rollouts, err = v.rolloutLines(); err != nil {
		v.fail(err)
		return
	}
	var groups []string
	if _, err := v.read(nil, "read-children-names", map[string]any{"child-type": "server-group"}, &groups); err != nil {
		v.fail(err)
		return
	}
	for _, name := range groups {
		if v.may(profiles.Address{{Type: "server-group", Name: name}}, "rolling-restart", nil) {
			page.Groups = append(page.Groups, name)
		}
	}
	if page.Plans, err = v.storedPlans(); err != nil {
		v.fail(err)
		return
	}
	page.All = v.may(nil, "rolling-restart", nil)
	v.show("rollouts.html", view{Title: "Rollouts", Section: "/console/rollouts", Live: true, Content: page})
}

// startRollout restarts the servers of a group, or of the domain, one at a time.
func (c *Console) startRollout(v *visit) {
	op := profiles.Operation{Name: "rolling-restart"}
	group, all := v.r.PostForm.Get("group"), v.r.PostForm.Get("all") != ""
	switch {
	case group != "":
		op.Address = profiles.Address{{Type: "server-group", Name: group}}
	case !all:
		v.fail(problem.Invalid.Errorf("cannot start a rolling restart: choose a server group"))
		return
	}
	if way := rolloutOf(v.r.PostForm); way != nil {
		op.Headers = map[string]any{"rollout": way}
	}
	v.roll(op, "ordered")
}

// roll runs an operation with a rollout and leads to the page that shows it, also
// when it has failed by then: that page says where and why.
func (v *visit) roll(op profiles.Operation, done string) {
	before := v.newestRollout()
	_, over, err := v.begin(op)
	to := "/console/rollouts"
	switch {
	case err != nil && v.newestRollout() == before:
		v.fail(err) // it never began
		return
	case err == nil && over:
		to += "?done=" + done
	case err == nil:
		to += "?done=under-way"
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

// newestRollout is the newest rollout's name; "" when there is none.
func (v *visit) newestRollout() string {
	list, err := v.rolloutLines()
	if err != nil || len(list) == 0 {
		return ""
	}
	return list[0].ID
}
