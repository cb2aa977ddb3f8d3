package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// serverLine is a server as it runs, or as it is configured when its host says
// nothing of it.
type serverLine struct {
	Name     string           `json:"name"`
	Host     string           `json:"host"`
	Group    string           `json:"server-group"`
	Profile  string           `json:"profile-name"`
	State    string           `json:"status"`
	Required string           `json:"server-state"` // "reload-required" and the like
	Healthy  bool             `json:"healthy"`
	Revision uint64           `json:"revision"`
	Node     string           `json:"node"`
	Site     string           `json:"site"`
	Address  string           `json:"address"`
	Ports    map[string]int64 `json:"ports"`
	Pid      int64            `json:"pid"`
	Restarts uint64           `json:"restarts"`
	Since    time.Time        `json:"since"`
	Message  string           `json:"message"`
	Usage    *struct {
		CPU       float64    `json:"cpu-seconds"`
		Resident  uint64     `json:"resident-bytes"`
		Files     uint64     `json:"open-files"`
		Connected uint64     `json:"connections"`
		Requests  uint64     `json:"requests"`
		Errors    uint64     `json:"errors"`
		Rate      float64    `json:"requests-per-second"`
		ErrorRate float64    `json:"errors-per-second"`
		Backends  []seenLine `json:"backends"`
	} `json:"usage"`
	Version string   `json:"version"`
	Members []string `json:"cluster-members"`
	// Balancer is set for a load balancer.
	Balancer bool `json:"-"`
	// Lost is set when the host does not report: the state is the last known.
	Lost bool `json:"-"`
}

// Tone is how the state is coloured; its word says the same.
func (s serverLine) Tone() string {
	switch {
	case s.State == "FAILED":
		return "bad"
	case s.Lost, s.State == "BACKOFF", s.State == "STARTED" && !s.Healthy, s.NeedsMore() != "":
		return "warn"
	case s.State == "STARTED":
		return "good"
	case s.State == "STOPPED", s.State == "DISABLED":
		return "off"
	}
	return "busy"
}

// Word is the state in a word or two.
func (s serverLine) Word() string {
	switch {
	case s.Lost:
		return "unknown, was " + s.State
	case s.State == "STARTED" && !s.Healthy:
		return "STARTED, not healthy"
	case s.NeedsMore() != "":
		return s.State + ", " + s.NeedsMore()
	}
	return s.State
}

// NeedsMore is "reload-required" or "restart-required", or nothing.
func (s serverLine) NeedsMore() string {
	if strings.HasSuffix(s.Required, "-required") {
		return s.Required
	}
	return ""
}

// seenLine is what a load balancer saw of one server.
type seenLine struct {
	Node     string `json:"node"`
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	Overdue  uint64 `json:"overdue"`
}

// Memory is what the process has in memory, in MiB.
func (s serverLine) Memory() uint64 { return s.Usage.Resident >> 20 }

// Page is where the server is shown by itself.
func (s serverLine) Page() string { return s.at("/console/server") }

// hostLine is a host with its servers.
type hostLine struct {
	Name      string       `json:"name"`
	Connected bool         `json:"connected"`
	Since     time.Time    `json:"since"`
	Version   string       `json:"version"`
	Address   string       `json:"address"`
	Revision  uint64       `json:"revision"`
	Problem   string       `json:"problem"`
	SkewMS    int64        `json:"clock-skew-ms"`
	Servers   []serverLine `json:"-"`
}

// Skewed reports a clock that is off by more than tokens and certificates bear.
func (h hostLine) Skewed() bool { return h.SkewMS > 1000 || h.SkewMS < -1000 }

type controllerLine struct {
	Name        string `json:"name"`
	Leader      bool   `json:"leader"`
	Voter       bool   `json:"voter"`
	Native      string `json:"native-address"`
	Replication string `json:"replication-address"`
}

type overviewView struct {
	Hosts       []hostLine
	Controllers []controllerLine
	Balancers   []serverLine
	Tally       []tally
	Last        *revisionLine
	Running     *rolloutLine
	MayBundle   bool
	Traffic     *trafficSum // of the identity servers; nil while none tells
}

type trafficSum struct{ Requests, Errors float64 }

// tally is how many servers are in a state.
type tally struct {
	Word, Tone string
	Count      int
}

// overview shows the domain as it is.
func (c *Console) overview(v *visit) {
	o := overviewView{MayBundle: v.may(nil, "support-bundle", nil)}
	servers, err := v.servers()
	if err == nil {
		_, err = v.read(nil, "hosts", nil, &o.Hosts)
	}
	if err == nil {
		_, err = v.read(nil, "controllers", nil, &o.Controllers)
	}
	if err != nil {
		v.fail(err)
		return
	}
	var last []revisionLine
	if _, err := v.read(nil, "history", map[string]any{"limit": int64(1)}, &last); err == nil && len(last) > 0 {
		o.Last = &last[0]
	}
	if list, err := v.rolloutLines(); err == nil && len(list) > 0 && !list[0].Over() {
		o.Running = &list[0]
	}
	o.place(servers)
	v.show("overview.html", view{Title: "Overview", Section: "/console", Live: true, Content: o})
}

// place puts the servers on their hosts.
func (o *overviewView) place(servers []serverLine) {
	count := map[tally]int{}
	for i := range o.Hosts {
		h := &o.Hosts[i]
		for _, s := range servers {
			if s.Host != h.Name {
				continue
			}
			s.Lost = !h.Connected && s.State != "DISABLED"
			h.Servers = append(h.Servers, s)
			count[tally{Word: s.Word(), Tone: s.Tone()}]++
			o.sum(s)
			if s.Balancer {
				o.Balancers = append(o.Balancers, s)
			}
		}
	}
	for t, n := range count {
		t.Count = n
		o.Tally = append(o.Tally, t)
	}
	slices.SortFunc(o.Tally, func(a, b tally) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Word, b.Word)) })
}

// sum adds what a server answers. What balancers answer is the same again.
func (o *overviewView) sum(s serverLine) {
	if s.Balancer || s.Lost || s.Usage == nil {
		return
	}
	if o.Traffic == nil {
		o.Traffic = &trafficSum{}
	}
	o.Traffic.Requests += s.Usage.Rate
	o.Traffic.Errors += s.Usage.ErrorRate
}

// answerAt is one answer of an operation with wildcards.
type answerAt[T any] struct {
	Address profiles.Address `json:"address"`
	Result  T                `json:"result"`
}

// servers lists all servers: those that hosts report, and those that are only
// configured.
func (v *visit) servers() ([]serverLine, error) {
	all := profiles.Wildcard
	var reported []answerAt[serverLine]
	var configured []answerAt[map[string]any]
	host := profiles.Address{{Type: "host", Name: all}}
	if _, err := v.read(host.Child("server-config", all), "read-resource", nil, &configured); err != nil {
		return nil, err
	}
	if _, err := v.read(host.Child("server", all), "read-resource", nil, &reported); err != nil {
		return nil, err
	}
	found := map[[2]string]serverLine{}
	for _, c := range configured {
		s := serverLine{Host: c.Address[0].Name, Name: c.Address[1].Name, State: "STOPPED"}
		s.Group, _ = c.Result["group"].(string)
		if c.Result["auto-start"] == false {
			s.State = "DISABLED"
		}
		found[[2]string{s.Host, s.Name}] = s
	}
	for _, r := range reported {
		s := r.Result
		s.Host, s.Name = r.Address[0].Name, r.Address[1].Name
		found[[2]string{s.Host, s.Name}] = s
	}
	balancing := v.balancing()
	list := slices.Collect(maps.Values(found))
	for i := range list {
		list[i].Balancer = balancing[list[i].Group]
	}
	slices.SortFunc(list, func(a, b serverLine) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Name, b.Name))
	})
	return list, nil
}

// balancing tells the server groups whose profile has a reverse proxy.
func (v *visit) balancing() map[string]bool {
	all := profiles.Wildcard
	groups := map[string]bool{}
	var proxies []answerAt[json.RawMessage]
	var of []answerAt[map[string]any]
	proxy := profiles.Address{{Type: "profile", Name: all}, {Type: "subsystem", Name: "http"}, {Type: "configuration", Name: "handler"}, {Type: "reverse-proxy", Name: all}}
	if _, err := v.read(proxy, "read-resource", nil, &proxies); err != nil || len(proxies) == 0 {
		return groups
	}
	if _, err := v.read(profiles.Address{{Type: "server-group", Name: all}}, "read-resource", nil, &of); err != nil {
		return groups
	}
	for _, group := range of {
		groups[group.Address[0].Name] = slices.ContainsFunc(proxies, func(p answerAt[json.RawMessage]) bool {
			return p.Address[0].Name == group.Result["profile"]
		})
	}
	return groups
}
