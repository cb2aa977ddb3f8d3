package vitals

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// states are those a server can be in, in the order of its life.
var states = [...]string{"DISABLED", "STARTING", "STARTED", "RELOADING", "SUSPENDING", "SUSPENDED",
	"STOPPING", "STOPPED", "BACKOFF", "FAILED"}

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_host_"+name, help, append([]string{"host"}, labels...), nil)
}

// Of the host.
var (
	info       = described("info", "The agent's version; always 1.", "version")
	connected  = described("controller_connected", "1 while the agent is linked to a controller.")
	linkSince  = described("controller_link_changed_timestamp_seconds", "When the link to a controller was last made or lost.")
	skew       = described("clock_skew_seconds", "How far the host's clock is ahead of the controller's.")
	revision   = described("revision", "The domain's revision that the host works from.")
	cores      = described("cores", "Processor cores of the host.")
	memory     = described("memory_bytes", "Memory of the host.")
	diskFree   = described("disk_free_bytes", "Free space where the agent keeps its servers.")
	inState    = described("servers", "Servers of the host, by state.", "state")
	perServer  = []string{"server", "group"}
	state      = described("server_state", "1 for the state that the server is in.", append(perServer, "state")...)
	healthy    = described("server_healthy", "1 while the server runs and says that it is well.", perServer...)
	restarts   = described("server_restarts", "How often it was respawned since it was last ordered to start.", perServer...)
	startedAt  = described("server_started_timestamp_seconds", "When its process started.", perServer...)
	cpu        = described("server_cpu_seconds_total", "Processor time of its process.", perServer...)
	resident   = described("server_resident_bytes", "Resident memory of its process.", perServer...)
	files      = described("server_open_files", "Open files of its process.", perServer...)
	clients    = described("server_connections", "Connections that it serves.", perServer...)
	requests   = described("server_requests_total", "Requests that its process has answered.", perServer...)
	failures   = described("server_errors_total", "Requests that its process has answered with 5xx.", perServer...)
	groupUsed  = described("server_group_memory_bytes", "Memory of its control group, page cache included.", perServer...)
	groupCPU   = described("server_group_cpu_seconds_total", "Processor time of its control group.", perServer...)
	everything = []*prometheus.Desc{info, connected, linkSince, skew, revision, cores, memory, diskFree, inState,
		state, healthy, restarts, startedAt, cpu, resident, files, clients, requests, failures, groupUsed, groupCPU}
)

// collector makes metrics of the View of the moment.
type collector struct{ view func() View }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range everything {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	v := c.view()
	emit := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, value, append([]string{v.Host}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		emit(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(info, 1, v.Version)
	gauge(connected, number(v.Link.Connected))
	gauge(linkSince, float64(v.Link.Since.UnixMilli())/1000)
	if v.Skew != nil {
		gauge(skew, v.Skew.Seconds())
	}
	gauge(revision, float64(v.Revision))
	gauge(cores, float64(v.Facts.GetCores()))
	gauge(memory, float64(v.Facts.GetMemoryBytes()))
	gauge(diskFree, float64(v.Facts.GetDiskFreeBytes()))
	count := map[string]int{}
	for _, s := range v.Servers {
		count[s.GetState()]++
		gauge(state, 1, s.GetName(), s.GetGroup(), s.GetState())
		gauge(healthy, number(s.GetHealthy()), s.GetName(), s.GetGroup())
		gauge(restarts, float64(s.GetRestarts()), s.GetName(), s.GetGroup())
		collectUsage(emit, s)
	}
	for _, name := range states {
		gauge(inState, float64(count[name]), name)
	}
}

// collectUsage is of a server that has a process.
func collectUsage(emit func(*prometheus.Desc, prometheus.ValueType, float64, ...string), s *hostlink.ServerStatus) {
	if s.GetPid() == 0 {
		return
	}
	name, group := s.GetName(), s.GetGroup()
	if at := s.GetStartedUnixMs(); at > 0 {
		emit(startedAt, prometheus.GaugeValue, float64(at)/1000, name, group)
	}
	u := s.GetUsage()
	if u == nil {
		return
	}
	emit(cpu, prometheus.CounterValue, u.GetCpuSeconds(), name, group)
	emit(resident, prometheus.GaugeValue, float64(u.GetResidentBytes()), name, group)
	emit(files, prometheus.GaugeValue, float64(u.GetOpenFiles()), name, group)
	emit(clients, prometheus.GaugeValue, float64(u.GetConnections()), name, group)
	emit(requests, prometheus.CounterValue, float64(u.GetRequests()), name, group)
	emit(failures, prometheus.CounterValue, float64(u.GetErrors()), name, group)
	if u.GetGroupMemoryBytes() > 0 {
		emit(groupUsed, prometheus.GaugeValue, float64(u.GetGroupMemoryBytes()), name, group)
		emit(groupCPU, prometheus.CounterValue, u.GetGroupCpuSeconds(), name, group)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
