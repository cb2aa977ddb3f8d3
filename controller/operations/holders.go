package operations

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

// inTheWay names who stands in the way of a rotation's next step, and why.
func (d *Desk) inTheWay(r authority.Rotation) []string {
	switch r.Phase {
	case authority.Introduced:
		return d.notTrusting(r)
	case authority.Issuing, authority.Cancelling:
		return d.stillShowing(r)
	}
	return nil
}

// notTrusting names the controllers, and the connected hosts with their servers,
// that have not said that they trust the new authority. Hosts that are away are
// none of them: until the end of the rotation they can check what they are shown.
func (d *Desk) notTrusting(r authority.Rotation) []string {
	wanted := certs.Fingerprint(r.Other)
	list := d.controllersWithout(func(t authority.Trust) string {
		if slices.Contains(t.Authorities, wanted) {
			return ""
		}
		return "does not trust the new authority yet"
	})
	if !d.publisher.HeardFromAll() {
		list = append(list, "hosts that may still connect: this controller has led for a moment only")
	}
	states, names := d.knownHosts()
	for _, name := range names {
		s := states[name]
		if !s.Connected {
			continue
		}
		if !slices.Contains(s.Trusted.GetAuthorities(), wanted) {
			list = append(list, fmt.Sprintf("host %s (its agent, version %s, has not said that it trusts the new authority)", name, s.Version))
		}
		for _, one := range s.Servers {
			if one.Pid > 0 && one.Issuer != noCertificate && !slices.Contains(one.Authorities, wanted) {
				list = append(list, fmt.Sprintf("server %s of host %s (%s)", one.Name, name, unsaid(one.Issuer, "does not trust the new authority yet")))
			}
		}
	}
	return list
}

// noCertificate is what a server says that shows no certificate of the domain.
const noCertificate = "none"

func unsaid(issuer, why string) string {
	if issuer == "" {
		return "it has not said which certificate it shows: it is starting, or its program is older"
	}
	return why
}

// stillShowing names the controllers, hosts and servers of the domain that do not
// show a certificate of the authority that issues.
func (d *Desk) stillShowing(r authority.Rotation) []string {
	wanted := certs.Fingerprint(r.Issuing)
	list := d.controllersWithout(func(t authority.Trust) string {
		if t.Issuer == wanted {
			return ""
		}
		return "shows a certificate of the other authority"
	})
	states, names := d.knownHosts()
	for _, name := range names {
		s := states[name]
		issuer := s.Trusted.GetIssuer()
		switch {
		case issuer == wanted:
		case s.Connected:
			list = append(list, fmt.Sprintf("host %s (it has not renewed its certificate yet)", name))
		case s.Since.IsZero() && !d.authority.Invited(authority.RoleHost, name):
			// It is in the model only: it never could join.
		case s.Since.IsZero():
			list = append(list, fmt.Sprintf("host %s (not connected; not heard of since this controller leads)", name))
		default:
			list = append(list, fmt.Sprintf("host %s (not connected since %s)", name, s.Since.UTC().Format(time.RFC3339)))
		}
		for _, one := range s.Servers {
			if one.Pid > 0 && one.Issuer != noCertificate && one.Issuer != wanted {
				list = append(list, fmt.Sprintf("server %s of host %s (%s)", one.Name, name, unsaid(one.Issuer, "it has not renewed its certificate yet")))
			}
		}
	}
	return list
}

// controllersWithout names the controllers for which lacks gives a reason.
func (d *Desk) controllersWithout(lacks func(authority.Trust) string) []string {
	members, err := d.replica.Members()
	if err != nil {
		return []string{"the controllers (" + err.Error() + ")"}
	}
	var list []string
	for _, m := range members {
		t, said := d.authority.Declared(m.Name)
		why := lacks(t)
		if !said {
			why = "has not said whom it trusts: it does not run, or its program is older"
		}
		if why != "" {
			list = append(list, fmt.Sprintf("controller %s (%s)", m.Name, why))
		}
	}
	return list
}

// knownHosts gives the hosts of the model and those that were heard of, in order.
func (d *Desk) knownHosts() (map[string]publisher.HostState, []string) {
	states, _ := d.publisher.Hosts()
	names := d.Tree().Names(nil, "host")
	for name := range states {
		names = append(names, name)
	}
	slices.Sort(names)
	return states, slices.Compact(names)
}

// someOf lists the first few of many.
func someOf(list []string) string {
	const most = 5
	switch {
	case len(list) == 0:
		return "nobody any more"
	case len(list) > most:
		return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
	}
	return strings.Join(list, "; ")
}
