package agent

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"enid/netcfg"
)

// counters are what only grows. They are written by the loop and read by scrapes.
type counters struct {
	ops    *prometheus.CounterVec
	held   *prometheus.CounterVec
	passes prometheus.Histogram
	source atomic.Pointer[Source] // whose requests are counted
	poll   atomic.Int64           // the poll interval, a time.Duration

	mu       sync.Mutex
	lastPass time.Time
}

func (c *counters) init() {
	c.ops = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enid_kernel_operations_total", Help: "Changes made to the kernel, by object and result.",
	}, []string{"object", "result"})
	c.held = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "enid_metadata_postponed_total", Help: "Questions to the metadata that were put off, by reason: budget (requests a second are limited) or refused (the service asked for it).",
	}, []string{"reason"})
	c.passes = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "enid_pass_duration_seconds", Help: "Time from looking at the kernel to having looked again after writing.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
	})
}

// postpone counts a question that comes later than it would.
func (c *counters) postpone(reason string) { c.held.WithLabelValues(reason).Inc() }

func (c *counters) op(r netcfg.Result) {
	result := "ok"
	switch {
	case r.Skipped:
		result = "skipped"
	case r.Err != nil:
		result = "error"
	}
	c.ops.WithLabelValues(objectName(r.Op.Object), result).Inc()
}

func objectName(o netcfg.Object) string {
	switch o.(type) {
	case netcfg.Addr:
		return "address"
	case netcfg.Route:
		return "route"
	case netcfg.Rule:
		return "rule"
	case netcfg.Chain:
		return "chain"
	}
	return "setting"
}

func (c *counters) pass(r report, now time.Time) {
	c.passes.Observe(now.Sub(r.began).Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastPass = now
}

// requests counts the metadata's requests by result.
func (c *counters) requests() map[string]uint64 {
	if s := c.source.Load(); s != nil {
		return requests(*s)
	}
	return nil
}

// alive reports whether the loop has done a pass within this time.
func (c *counters) alive(within time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.lastPass) < within
}

// Metrics is the agent's state for a registry: gauges are computed from the status at each
// scrape, so that they cannot disagree with it.
func (a *Agent) Metrics() []prometheus.Collector {
	return []prometheus.Collector{a.counters.ops, a.counters.held, a.counters.passes, statusCollector{a}}
}

var (
	descENI       = prometheus.NewDesc("enid_eni_phase", "1 for the phase that an ENI is in.", []string{"eni", "nic", "phase"}, nil)
	descENISince  = prometheus.NewDesc("enid_eni_phase_timestamp_seconds", "Unix time since which an ENI is in its phase.", []string{"eni"}, nil)
	descWanted    = prometheus.NewDesc("enid_eni_addresses_wanted", "Addresses that should be on an ENI's NIC.", []string{"eni"}, nil)
	descPresent   = prometheus.NewDesc("enid_eni_addresses_present", "Addresses that are on an ENI's NIC, of those that should be.", []string{"eni"}, nil)
	descProblems  = prometheus.NewDesc("enid_problems", "Present problems, by reason.", []string{"reason"}, nil)
	descReturn    = prometheus.NewDesc("enid_return_path", "1 where replies of forwarded connections are led back out by the ENI they came in by.", []string{"family"}, nil)
	descPolicy    = prometheus.NewDesc("enid_policy_state", "1 for the state that a policy is in.", []string{"policy", "state"}, nil)
	descConverged = prometheus.NewDesc("enid_converged", "1 when the kernel is as the metadata wants it.", nil, nil)
	descMetaUp    = prometheus.NewDesc("enid_metadata_up", "1 when the metadata answered last time.", nil, nil)
	descMetaLast  = prometheus.NewDesc("enid_metadata_last_answer_timestamp_seconds", "Unix time of the newest answer of the metadata, 0 for never.", nil, nil)
	descProvider  = prometheus.NewDesc("enid_metadata_provider", "1, with the provider of the metadata: auto while it is looked for, none where no cloud is found.", []string{"provider"}, nil)
	descMetaAge   = prometheus.NewDesc("enid_metadata_age_seconds", "Age of the newest answer of the metadata that is in use, not there while there is none.", nil, nil)
	descStale     = prometheus.NewDesc("enid_eni_stale", "1 for an ENI that is known from the metadata's last good answer and was not confirmed since the start.", []string{"eni"}, nil)
	descRequests  = prometheus.NewDesc("enid_metadata_requests_total", "Requests to the metadata, by result.", []string{"result"}, nil)
	descInfo      = prometheus.NewDesc("enid_build_info", "1, with the version.", []string{"version"}, nil)
)

type statusCollector struct{ a *Agent }

// Describe sends every series' description.
func (statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descENI, descENISince, descWanted, descPresent, descProblems, descReturn, descPolicy, descConverged, descMetaUp, descMetaLast, descMetaAge, descStale, descProvider, descRequests, descInfo} {
		ch <- d
	}
}

// Collect reads the status of the last pass.
func (c statusCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.a.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descInfo, 1, s.Version)
	gauge(descConverged, number(s.Converged))
	gauge(descMetaUp, number(s.Metadata.OK))
	gauge(descMetaLast, seconds(s.Metadata.LastAnswer))
	if newest := latest(s.Metadata.LastAnswer, s.Metadata.LastGood); !newest.IsZero() {
		gauge(descMetaAge, time.Since(newest).Seconds())
	}
	gauge(descProvider, 1, s.Metadata.provider())
	gauge(descReturn, number(s.ReturnPath.IPv4), "ipv4")
	gauge(descReturn, number(s.ReturnPath.IPv6), "ipv6")
	for _, p := range s.Policies {
		gauge(descPolicy, 1, p.Name, string(p.State))
	}
	problems := map[string]int{}
	for _, p := range s.Problems {
		problems[p.Reason]++
	}
	for _, e := range s.ENIs {
		gauge(descENI, 1, e.Name, e.NIC, string(e.Phase))
		gauge(descENISince, seconds(e.Since), e.Name)
		gauge(descStale, number(!e.StaleSince.IsZero()), e.Name)
		present := 0
		for _, address := range e.Addresses {
			if address.Present {
				present++
			}
		}
		gauge(descWanted, float64(len(e.Addresses)), e.Name)
		gauge(descPresent, float64(present), e.Name)
		for _, p := range e.Problems {
			problems[p.Reason]++
		}
	}
	for reason, n := range problems {
		gauge(descProblems, float64(n), reason)
	}
	for result, n := range c.a.counters.requests() {
		ch <- prometheus.MustNewConstMetric(descRequests, prometheus.CounterValue, float64(n), result)
	}
}

func (m MetadataStatus) provider() string {
	if m.NoCloud {
		return "none"
	}
	return m.Provider
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
