package loadbalancer

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the balancer's figures, by server.
type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	ejections *prometheus.CounterVec
	queue     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, p *pool) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_loadbalancer_requests_total", Help: "Requests by server and status; an empty server means that none was there."}, []string{"server", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_loadbalancer_request_seconds", Help: "Time from a request to the end of its response.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"server"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_loadbalancer_retries_total", Help: "Requests sent to another server after this one failed."}, []string{"server"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_loadbalancer_ejections_total", Help: "Times a server was left alone after failures."}, []string{"server"}),
		queue: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_loadbalancer_queued_requests_total", Help: "Requests that no server could take at once: sent later, expired, gone, or refused because the queue was full."}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.retries, m.ejections, m.queue, backends{p})
	}
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) retried(route string)  { m.retries.WithLabelValues(route).Inc() }
func (m *metrics) ejected(route string)  { m.ejections.WithLabelValues(route).Inc() }
func (m *metrics) queued(outcome string) { m.queue.WithLabelValues(outcome).Inc() }

// backends collects the pool's present state.
type backends struct{ pool *pool }

var (
	healthy = prometheus.NewDesc("gatehouse_loadbalancer_server_healthy", "1 while the server takes requests.", []string{"server"}, nil)
	active  = prometheus.NewDesc("gatehouse_loadbalancer_server_active_requests", "Requests in flight.", []string{"server"}, nil)
	waiting = prometheus.NewDesc("gatehouse_loadbalancer_waiting_requests", "Requests that wait for a server.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c backends) Describe(ch chan<- *prometheus.Desc) { ch <- healthy; ch <- active; ch <- waiting }

// Collect implements prometheus.Collector.
func (c backends) Collect(ch chan<- prometheus.Metric) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	now := c.pool.clock.Now()
	ch <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(c.pool.queue.waiting))
	for _, m := range c.pool.members {
		up := 0.0
		if m.well(now) {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(healthy, prometheus.GaugeValue, up, m.Route)
		ch <- prometheus.MustNewConstMetric(active, prometheus.GaugeValue, float64(m.active), m.Route)
	}
}
