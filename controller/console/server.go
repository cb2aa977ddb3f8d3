package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// orders are what the page of a server can order, in the order of its buttons.
var orders = []string{"start", "restart", "reload", "suspend", "resume", "stop"}

type serverView struct {
	serverLine
	Orders     []string // those that the caller may give and that make sense now
	Log        string
	LogProblem string
	Configured string // the address of its configuration
}

// server shows one server: what it runs, and the end of its log.
func (c *Console) server(v *visit) {
	v.showServer(v.r.URL.Query(), nil)
}

// showServer shows the server that a form or an address names, with what went
// wrong with it, if anything did.
func (v *visit) showServer(named url.Values, wrong error) {
	s, err := v.oneServer(named)
	if err != nil {
		v.fail(cmp.Or(wrong, err))
		return
	}
	page := view{Title: s.Name + " on " + s.Host, Section: "/console", Live: wrong == nil, Content: s}
	v.showAs(statusOf(wrong), "server.html", page.wrong(wrong))
}

// serverNamed is the server that a form or an address names.
func (v *visit) serverNamed(named url.Values) (serverLine, error) {
	host, name := named.Get("host"), named.Get("name")
	list, err := v.servers()
	if err != nil {
		return serverLine{}, err
	}
	i := slices.IndexFunc(list, func(s serverLine) bool { return s.Host == host && s.Name == name })
	if i < 0 {
		return serverLine{}, problem.NotFound.Errorf("cannot find server %q: there is none of that name on host %q", name, host)
	}
	return list[i], nil
}

func (v *visit) oneServer(named url.Values) (serverView, error) {
	line, err := v.serverNamed(named)
	if err != nil {
		return serverView{}, err
	}
	s := serverView{serverLine: line}
	config := serverConfig(s.Host, s.Name)
	s.Configured = browse(config)
	for _, order := range orders {
		if sensible(order, s.State) && v.may(config, order, nil) {
			s.Orders = append(s.Orders, order)
		}
	}
	if s.Log, err = v.logOf(config, logLines); err != nil {
		s.LogProblem = err.Error()
	}
	s.Log = readable(s.Log)
	return s, nil
}

func serverConfig(host, name string) profiles.Address {
	return profiles.Address{{Type: "host", Name: host}, {Type: "server-config", Name: name}}
}

// sensible reports whether an order can do something in a state.
func sensible(order, state string) bool {
	running := slices.Contains([]string{"STARTING", "STARTED", "RELOADING", "SUSPENDING", "SUSPENDED", "STOPPING"}, state)
	switch order {
	case "start":
		return !running
	case "resume":
		return state == "SUSPENDED" || state == "SUSPENDING"
	case "reload", "suspend":
		return state == "STARTED"
	case "stop":
		return running || state == "BACKOFF" || state == "FAILED"
	}
	return running
}

// order gives a server an order.
func (c *Console) order(v *visit) {
	host, name, order := v.r.PostForm.Get("host"), v.r.PostForm.Get("name"), v.r.PostForm.Get("order")
	if !slices.Contains(orders, order) {
		v.fail(problem.Invalid.Errorf("cannot order %q: the orders are %s", order, strings.Join(orders, ", ")))
		return
	}
	_, over, err := v.begin(profiles.Operation{Name: order, Address: serverConfig(host, name)})
	if err != nil {
		v.showServer(v.r.PostForm, err)
		return
	}
	done := "ordered"
	if !over {
		done = "under-way"
	}
	http.Redirect(v.w, v.r, serverLine{Host: host, Name: name}.Page()+"&done="+done, http.StatusSeeOther)
}
