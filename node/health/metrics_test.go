package health

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

func TestMetrics_EachSeries(t *testing.T) {
	t.Parallel()
	amount, offers, meter := market.Amount(7), 3, 90*time.Second
	m := NewMetrics("v", func() Facts {
		return Facts{
			Leases: map[LeaseKey]int{{"running", "provider"}: 2}, Meter: &meter, Unsettled: &amount, FeePayer: &amount,
			Peers: 4, BookOffers: &offers, Health: []market.Code{market.CodeDiskFull},
		}
	})
	m.Request("GET /status", 200)
	m.Commit(time.Millisecond)
	m.OrderReady(3*time.Second, map[string]time.Duration{"quote": time.Second})
	for i := range 2 * maxCodes { // a peer may invent codes
		m.LeaseEnded(market.Code(fmt.Sprint("code-", i)), market.FaultProvider)
	}
	w := httptest.NewRecorder()
	m.Handler("").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	text := w.Body.String()
	for _, want := range []string{
		`gpuai_leases{role="provider",state="running"} 2`, "gpuai_meter_seconds_total 90",
		`gpuai_unsettled_amount{mint="SOL"} 7`, "gpuai_fee_payer_lamports 7",
		"gpuai_p2p_peers 4", "gpuai_book_offers 3", `gpuai_health{code="disk-full"} 1`,
		`gpuai_api_requests_total{op="GET /status",status="200"} 1`,
		"gpuai_store_commit_seconds_count 1", "gpuai_order_to_ready_seconds_sum 3",
		`gpuai_lease_phase_seconds_count{phase="quote"} 1`,
		fmt.Sprintf(`gpuai_lease_ends_total{code="other",fault="provider"} %d`, maxCodes),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if n := strings.Count(text, "gpuai_lease_ends_total{"); n != maxCodes+1 {
		t.Errorf("%d series of ends", n)
	}
}
