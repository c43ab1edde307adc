package solana

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestRPC_LedgerReplaced_IsNotTakenForTheOld: an endpoint that was silent for a moment is asked again which network it
// is of, and another one's answers are not taken. The error says what happened and what to do.
func TestRPC_LedgerReplaced_IsNotTakenForTheOld(t *testing.T) {
	t.Parallel()
	var genesis atomic.Value
	genesis.Store("old")
	var silent atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if silent.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		var q struct {
			ID     int
			Method string
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		answer := "1"
		if q.Method == methodGenesis {
			answer = `"` + genesis.Load().(string) + `"`
		}
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%d,"result":%s}`, q.ID, answer)
	}))
	t.Cleanup(s.Close)
	c := newRPC([]string{s.URL})
	c.genesis = "old"
	var n int
	if err := c.call(t.Context(), &n, "getSlot"); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	silent.Store(true)
	if err := c.call(t.Context(), &n, "getSlot"); market.CodeOf(err) != market.CodeChainUnreachable ||
		strings.Contains(err.Error(), "another ledger") {
		t.Fatalf("silence: %v", err)
	}
	silent.Store(false)
	if err := c.call(t.Context(), &n, "getSlot"); err != nil {
		t.Fatalf("the same ledger again: %v", err)
	}
	silent.Store(true)
	_ = c.call(t.Context(), &n, "getSlot")
	silent.Store(false)
	genesis.Store("new")
	n = 0
	err := c.call(t.Context(), &n, "getSlot")
	e, ok := err.(*market.Error)
	if !ok || e.Code != market.CodeChainUnreachable || !strings.Contains(e.Detail, "another ledger") ||
		!strings.Contains(e.Hint, "gpuai node stop") || n != 0 {
		t.Errorf("%d from the new one: %+v", n, err)
	}
}
