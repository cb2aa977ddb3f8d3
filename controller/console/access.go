package console

import (
	"net/http"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// accessSection is the section of who belongs to the domain.
const accessSection = "/console/access"

type accessView struct {
	People    []personLine
	MayAdd    bool
	Hosts     []hostLine
	MayInvite bool
	MayRevoke bool
	MayRemove bool
}

// access shows who may manage the domain and which hosts belong to it.
func (c *Console) access(v *visit) { v.showAccess(nil) }

func (v *visit) showAccess(wrong error) {
	page := accessView{
		MayAdd: v.may(nil, "add-user", nil), MayInvite: v.may(nil, "add-host", nil),
		MayRevoke: v.may(nil, "revoke", nil), MayRemove: v.may(nil, "remove-host", nil),
	}
	var err error
	if page.People, err = v.people(); err == nil {
		_, err = v.read(nil, "hosts", nil, &page.Hosts)
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.showAs(statusOf(wrong), "access.html", view{Title: "Access", Section: accessSection, Content: page}.wrong(wrong))
}

// invitation is what a host joins with. It is shown once.
type invitation struct {
	Name        string `json:"name"`
	Token       string `json:"token"`
	Fingerprint string `json:"fingerprint"`
}

// changeHost invites a host, refuses its certificates, or takes it out of the
// domain.
func (c *Console) changeHost(v *visit) {
	name := strings.TrimSpace(v.r.PostForm.Get("host"))
	op := profiles.Operation{Name: v.r.PostForm.Get("do"), Params: map[string]any{"name": name}}
	done := map[string]string{"revoke": "revoked", "remove-host": "host-removed"}[op.Name]
	switch {
	case name == "":
		v.showAccess(problem.Invalid.Errorf("cannot do anything with a host without its name"))
		return
	case op.Name == "add-host":
		var made invitation
		if _, err := v.do(v.r.Context(), op, &made); err != nil {
			v.showAccess(err)
			return
		}
		// No redirect: the token is in this answer and nowhere else.
		v.show("invitation.html", view{Title: "Join token of " + made.Name, Section: accessSection, Content: made})
		return
	case op.Name == "revoke":
		op.Params = map[string]any{"host": name}
	case done == "":
		v.showAccess(problem.Invalid.Errorf("cannot do %q with a host", op.Name))
		return
	}
	if _, err := v.do(v.r.Context(), op, nil); err != nil {
		v.showAccess(err)
		return
	}
	http.Redirect(v.w, v.r, accessSection+"?done="+done, http.StatusSeeOther)
}
