package health

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// all is a node of which everything is known, with one of each count.
func all() Facts {
	amount, n, meter, ratio := market.Amount(7), 3, time.Minute, 0.5
	f := Facts{Leases: map[LeaseKey]int{{"running", "provider"}: 2}, Meter: &meter, Unsettled: &amount,
		Earned: &amount, FeePayer: &amount, Peers: 4, BookOffers: &n, BookRows: &n, Table: &n, Probe: &ratio,
		IndexLag: new(uint64), IndexWritten: map[string]uint64{"lease": 2}, IndexRefused: new(int64),
		Health: []market.Code{market.CodeDiskFull}, Links: map[LinkKey]int{{"inbound", "relay"}: 2},
		Counts: map[p2p.Count]uint64{}}
	for s := range counts {
		f.Counts[p2p.Count{Of: s, Label: "x"}] = 5
	}
	return f
}

// TestMetrics_Page: docs/reference/metrics.md names each series that a node has, and no other.
func TestMetrics_Page(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	m := NewMetrics("v", all)
	m.Request("GET /status", 200)
	m.Commit(time.Millisecond)
	m.OrderReady(time.Second, map[string]time.Duration{"quote": time.Second})
	m.LeaseEnded(market.CodeJobFailed, market.FaultCustomer)
	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var there, told []string
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		there = append(there, f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+strings.Join(labels, ","))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(gpuai_[a-z0-9_]+)` \\| ([a-z]+) \\| ([a-z, ]*)\\| .+ \\|$").
		FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(row[3], func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(labels)
		told = append(told, row[1]+" "+row[2]+" "+strings.Join(labels, ","))
	}
	slices.Sort(there)
	slices.Sort(told)
	if !slices.Equal(there, told) {
		t.Errorf("series:\n%s\npage:\n%s", strings.Join(there, "\n"), strings.Join(told, "\n"))
	}
}

// TestMetrics_Network: what the layers of p2p count is told under its name.
func TestMetrics_Network(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	NewMetrics("v", all).Handler("").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet,
		"/metrics", nil))
	for _, want := range []string{
		`gpuai_p2p_connections{direction="inbound",path="relay"} 2`, `gpuai_p2p_dials_total{result="x"} 5`,
		`gpuai_gossip_duplicates_total 5`, `gpuai_stream_refusals_total{code="x"} 5`, "gpuai_book_rows 3",
		"gpuai_dht_nodes 3", "gpuai_dht_selfprobe_ratio 0.5",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}
