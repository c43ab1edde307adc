package health

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// maxCodes bounds the values of the label code: codes of peers end here too. More are counted as "other".
const maxCodes = 64

// LeaseKey is one series of gpuai_leases.
type LeaseKey struct{ State, Role string }

// LinkKey is one series of gpuai_p2p_connections.
type LinkKey struct{ Direction, Path string }

// counts are the labels and help texts of what the layers of p2p count.
var counts = map[p2p.Series]struct{ label, help string }{
	p2p.CountDials:         {"result", "Dials of peers."},
	p2p.CountBytes:         {"direction", "Bytes of streams, without what QUIC and TCP add."},
	p2p.CountPunches:       {"result", "Attempts to pass routers by hole punching."},
	p2p.CountMessages:      {"verdict", "Gossip messages judged: accepted, rejected, ignored."},
	p2p.CountDuplicates:    {"", "Gossip messages that were there already."},
	p2p.CountUndeliverable: {"", "Gossip messages dropped since the reader was slow."},
	p2p.CountEquivocations: {"", "Offers that replaced another one with the same number."},
	p2p.CountSyncs:         {"result", "Sessions of sync, of both sides."},
	p2p.CountSyncBytes:     {"direction", "Bytes of sync."},
	p2p.CountEvicted:       {"", "Offers that made room for others in a full set."},
	p2p.CountRefusals:      {"code", "Requests of peers that were refused."},
	p2p.CountAnnouncements: {"result", "Announcements in the DHT."},
	p2p.CountLookups:       {"result", "Look-ups in the DHT: found, missed."},
	p2p.CountRecords:       {"", "Nodes that look-ups in the DHT were told of."},
}

// Facts are what a node knows when it is asked. Nil numbers are unknown: their series is absent, never 0.
type Facts struct {
	Leases     map[LeaseKey]int
	Meter      *time.Duration // billable time of what was sold
	Unsettled  *market.Amount // owed and covered by vouchers, not on the chain yet
	Earned     *market.Amount // of jobs that ended, and all that is settled
	FeePayer   *market.Amount
	Peers      int
	BookOffers *int
	BookRows   *int          // rows of devices in the book
	Health     []market.Code // codes of the last look at the machine

	Links  map[LinkKey]int      // connections
	Counts map[p2p.Count]uint64 // what the layers of p2p have counted
	Table  *int                 // nodes in the DHT's routing table
	// Of an indexer.
	IndexLag     *uint64           // slots that are final and not read yet
	IndexWritten map[string]uint64 // rows, by what they are of
	IndexRefused *int64            // figures and documents that were left out

	Probe *float64 // part of those who should keep an own announcement that do, of the worst key
}

// Metrics are the node's series under the prefix gpuai_. No peer, lease or address is a label. Use NewMetrics; methods
// are safe for any goroutine.
type Metrics struct {
	reg      *prometheus.Registry
	requests *prometheus.CounterVec
	ends     *prometheus.CounterVec
	commits  prometheus.Histogram
	ready    prometheus.Histogram
	phases   *prometheus.HistogramVec

	mu    sync.Mutex
	codes map[market.Code]bool
}

// collector asks for facts at each scrape.
type collector struct {
	facts func() Facts
	descs map[string]*prometheus.Desc
}

// NewMetrics makes the series of one node; facts is called at each scrape.
func NewMetrics(version string, facts func() Facts) *Metrics {
	seconds := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "gpuai_" + name, Help: help, Buckets: buckets}
	}
	waits := []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900}
	m := &Metrics{
		reg: prometheus.NewRegistry(), codes: map[market.Code]bool{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gpuai_api_requests_total",
			Help: "Requests of the local API."}, []string{"op", "status"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gpuai_lease_ends_total",
			Help: "Leases that ended since the start, both roles."}, []string{"code", "fault"}),
		commits: prometheus.NewHistogram(seconds("store_commit_seconds", "How long a commit of the store took.",
			prometheus.ExponentialBuckets(0.0005, 2, 14))),
		ready: prometheus.NewHistogram(seconds("order_to_ready_seconds", "From the order to its job's start.",
			waits)),
		phases: prometheus.NewHistogramVec(seconds("lease_phase_seconds", "How long a phase of an order took.",
			waits), []string{"phase"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gpuai_build_info", Help: "Always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	m.reg.MustRegister(build, m.requests, m.ends, m.commits, m.ready, m.phases, newCollector(facts))
	return m
}

// Request counts one answer of the API; op is the route, not the path.
func (m *Metrics) Request(op string, status int) {
	m.requests.WithLabelValues(op, strconv.Itoa(status)).Inc()
}

// LeaseEnded counts the end of a lease.
func (m *Metrics) LeaseEnded(code market.Code, fault market.Fault) {
	m.ends.WithLabelValues(m.bounded(code), fault.String()).Inc()
}

func (m *Metrics) bounded(code market.Code) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.codes[code] && len(m.codes) >= maxCodes {
		return "other"
	}
	m.codes[code] = true
	return string(code)
}

// Commit takes the duration of one commit of the store.
func (m *Metrics) Commit(d time.Duration) { m.commits.Observe(d.Seconds()) }

// OrderReady takes how long an order waited for its job, and its phases: quote, fund, accept.
func (m *Metrics) OrderReady(all time.Duration, phases map[string]time.Duration) {
	m.ready.Observe(all.Seconds())
	for name, d := range phases {
		m.phases.WithLabelValues(name).Observe(d.Seconds())
	}
}

// Handler serves the series. With a token a request must carry it: "Authorization: Bearer TOKEN".
func (m *Metrics) Handler(token string) http.Handler {
	h := promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		want, got := sha256.Sum256([]byte("Bearer "+token)), sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if token != "" && subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a token is needed", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
	return mux
}

func newCollector(facts func() Facts) *collector {
	c := &collector{facts: facts, descs: map[string]*prometheus.Desc{}}
	for _, d := range []struct {
		name, help string
		labels     []string
	}{
		{"leases", "Leases by state.", []string{"state", "role"}},
		{"meter_seconds_total", "Billable time of leases sold that the store holds.", nil},
		{"unsettled_amount", "Owed and covered by vouchers, not settled on the chain yet, in the smallest unit.",
			[]string{"mint"}},
		{"earned_amount", "Earned by jobs that ended, and all that is settled on the chain, in the smallest unit.",
			[]string{"mint"}},
		{"fee_payer_lamports", "Balance of the account that pays the rig's fees.", nil},
		{"p2p_peers", "Connected peers.", nil},
		{"book_offers", "Offers that the node knows.", nil},
		{"book_rows", "Rows of devices in the book.", nil},
		{"p2p_connections", "Connected peers by who opened and over which path.", []string{"direction", "path"}},
		{"dht_nodes", "Nodes in the DHT's routing table.", nil},
		{"dht_selfprobe_ratio", "Part of the nodes that should keep an own announcement that do, of the worst key.",
			nil},
		{"indexer_lag_slots", "Slots of the chain that are final and not in the index yet.", nil},
		{"indexer_rows_written_total", "Rows that were new to the index.", []string{"of"}},
		{"indexer_refused_total", "Figures and documents that the index left out.", nil},
		{"health", "1 for each code that the last look at the machine found.", []string{"code"}},
	} {
		c.descs[d.name] = prometheus.NewDesc("gpuai_"+d.name, d.help, d.labels, nil)
	}
	for s, row := range counts {
		var labels []string
		if row.label != "" {
			labels = []string{row.label}
		}
		c.descs[string(s)] = prometheus.NewDesc("gpuai_"+string(s)+"_total", row.help, labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	f := c.facts()
	put := func(name string, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(c.descs[name], kind, v, labels...)
	}
	for k, n := range f.Leases {
		put("leases", prometheus.GaugeValue, float64(n), k.State, k.Role)
	}
	if f.Meter != nil {
		put("meter_seconds_total", prometheus.CounterValue, f.Meter.Seconds())
	}
	if f.Unsettled != nil {
		put("unsettled_amount", prometheus.GaugeValue, float64(*f.Unsettled), "SOL")
	}
	if f.Earned != nil {
		put("earned_amount", prometheus.GaugeValue, float64(*f.Earned), "SOL")
	}
	if f.FeePayer != nil {
		put("fee_payer_lamports", prometheus.GaugeValue, float64(*f.FeePayer))
	}
	put("p2p_peers", prometheus.GaugeValue, float64(f.Peers))
	if f.BookOffers != nil {
		put("book_offers", prometheus.GaugeValue, float64(*f.BookOffers))
	}
	if f.BookRows != nil {
		put("book_rows", prometheus.GaugeValue, float64(*f.BookRows))
	}
	for k, n := range f.Links {
		put("p2p_connections", prometheus.GaugeValue, float64(n), k.Direction, k.Path)
	}
	if f.Table != nil {
		put("dht_nodes", prometheus.GaugeValue, float64(*f.Table))
	}
	if f.Probe != nil {
		put("dht_selfprobe_ratio", prometheus.GaugeValue, *f.Probe)
	}
	for k, n := range f.Counts {
		row, known := counts[k.Of]
		switch {
		case !known: // a test finds it
		case row.label == "":
			put(string(k.Of), prometheus.CounterValue, float64(n))
		default:
			put(string(k.Of), prometheus.CounterValue, float64(n), k.Label)
		}
	}
	if f.IndexLag != nil {
		put("indexer_lag_slots", prometheus.GaugeValue, float64(*f.IndexLag))
	}
	for of, n := range f.IndexWritten {
		put("indexer_rows_written_total", prometheus.CounterValue, float64(n), of)
	}
	if f.IndexRefused != nil {
		put("indexer_refused_total", prometheus.CounterValue, float64(*f.IndexRefused))
	}
	for _, code := range f.Health {
		put("health", prometheus.GaugeValue, 1, string(code))
	}
}
