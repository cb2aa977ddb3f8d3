package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/rollout"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// commitLatency is how long writes take on this controller while it leads.
// Buckets: a disk that syncs in a millisecond, to the time a leader is lost in.
func commitLatency() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "gatehouse_controller_commit_seconds",
		Help:    "How long an entry took from the leader's proposal until a majority had it on disk and it was applied.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
	})
}

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_controller_"+name, help, labels, nil)
}

// collector makes the metrics of a controller of the moment at which they are
// asked for.
type collector struct {
	*parts
	name                                                                string
	info, leads, raft, term, last, committed, applied, contact, members *prometheus.Desc
	revision, hosts, servers, snapshots, bytes, rollout, rolling        *prometheus.Desc
}

// metrics registers what this controller measures; nil where nobody asks.
func (p *parts) metrics(latency prometheus.Collector) (prometheus.Gatherer, error) {
	if p.cfg.Metrics == nil {
		return nil, nil
	}
	c := &collector{
		parts:     p,
		name:      p.in.Name,
		info:      described("info", "The controller and its version; always 1.", "controller", "version"),
		leads:     described("leader", "1 while this controller leads."),
		raft:      described("raft_state", "1 for the state that replication is in.", "state"),
		term:      described("raft_term", "The term of replication; it grows with each election."),
		last:      described("raft_last_index", "The end of the log."),
		committed: described("raft_commit_index", "The last entry that a majority has."),
		applied:   described("raft_applied_index", "The last entry that this controller has applied."),
		contact:   described("raft_last_contact_seconds", "How long ago a follower heard from a leader."),
		members:   described("members", "Controllers of the domain."),
		revision:  described("revision", "The newest revision that this controller has."),
		hosts:     described("hosts", "Hosts by whether they are connected; the leader sees those of all controllers.", "state"),
		servers:   described("servers", "Servers that hosts report, by state; the leader sees those of all controllers.", "state"),
		snapshots: described("snapshots_published_total", "Snapshots offered to the hosts of this controller."),
		bytes:     described("snapshots_published_bytes_total", "Their size."),
		rollout:   described("rollout_state", "1 for the state of the newest rollout.", "state"),
		rolling:   described("rollout_servers", "Servers of the newest rollout, by where they are in it.", "state"),
	}
	for _, one := range []prometheus.Collector{c, latency} {
		if err := p.cfg.Metrics.Register(one); err != nil {
			return nil, problem.Internal.Errorf("cannot measure: %w", err)
		}
	}
	return p.cfg.Metrics, nil
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.info, c.leads, c.raft, c.term, c.last, c.committed, c.applied, c.contact, c.members,
		c.revision, c.hosts, c.servers, c.snapshots, c.bytes, c.rollout, c.rolling} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := measures{out}
	m.gauge(c.info, 1, c.name, c.cfg.Version)
	m.gauge(c.leads, number(c.replica.Leads()))
	c.collectRaft(m)
	state, _ := c.replica.State()
	m.gauge(c.revision, float64(state.Revision()))
	c.collectHosts(m)
	offered := c.publisher.Offered()
	m.counter(c.snapshots, float64(offered.Snapshots))
	m.counter(c.bytes, float64(offered.Bytes))
	c.collectRollout(m)
}

func (c *collector) collectRaft(m measures) {
	s := c.replica.Status()
	for _, state := range consensus.States() {
		m.gauge(c.raft, number(s.State == state), state)
	}
	m.gauge(c.term, float64(s.Term))
	m.gauge(c.last, float64(s.LastIndex))
	m.gauge(c.committed, float64(s.CommitIndex))
	m.gauge(c.applied, float64(s.AppliedIndex))
	if s.Contact >= 0 {
		m.gauge(c.contact, s.Contact.Seconds())
	}
	if members, err := c.replica.Members(); err == nil {
		m.gauge(c.members, float64(len(members)))
	}
}

func (c *collector) collectHosts(m measures) {
	states, _ := c.publisher.Hosts()
	connected := 0
	servers := map[string]int{}
	for _, h := range states {
		if h.Connected {
			connected++
		}
		for _, s := range h.Servers {
			servers[s.State]++
		}
	}
	// A host of the model that was never heard of is missing, as one that was.
	missing := 0
	model, _ := c.replica.State()
	for _, name := range model.Tree().Names(profiles.Address{}, "host") {
		missing += 1 - int(number(states[name].Connected))
	}
	m.gauge(c.hosts, float64(connected), "connected")
	m.gauge(c.hosts, float64(missing), "missing")
	for state, n := range servers {
		m.gauge(c.servers, float64(n), state)
	}
}

func (c *collector) collectRollout(m measures) {
	newest, ok := c.desk.LastRollout()
	if !ok {
		return
	}
	for _, state := range []rollout.State{rollout.Running, rollout.Restoring, rollout.Done, rollout.Restored, rollout.Failed} {
		m.gauge(c.rollout, number(newest.State == state), string(state))
	}
	servers := map[rollout.State]int{}
	for _, s := range newest.Servers {
		servers[s.State]++
	}
	for state, n := range servers {
		m.gauge(c.rolling, float64(n), string(state))
	}
}

// measures sends what was measured.
type measures struct{ out chan<- prometheus.Metric }

func (m measures) gauge(d *prometheus.Desc, value float64, labels ...string) {
	m.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (m measures) counter(d *prometheus.Desc, value float64, labels ...string) {
	m.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
