package public_test

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// history is three days of hours of two models, 2,500 instructions in 250 slots, and as many channels.
func history(t *testing.T, s site) {
	t.Helper()
	filled(t, s)
	c := db.Change{}
	for h := range 72 {
		for _, slug := range []string{"h100", "rtx-4090"} {
			c.Buckets = append(c.Buckets, db.Bucket{Metric: db.MetricAsk, Key: slug, Mint: public.SOLMint,
				Step: db.HourStep, At: start.Add(time.Duration(h) * time.Hour).UnixMilli(), N: 1, Low: 5,
				P50: int64(h)})
		}
	}
	for n := range 5 {
		c.Leases = append(c.Leases, db.Lease{ID: fmt.Sprintf("lease_%d", n), Ended: start.Add(time.Duration(n) *
			20 * time.Hour).UnixMilli(), Amount: 5, Code: "completed", ByProvider: []byte{1}, ByCustomer: []byte{2},
			Deal: db.Deal{Class: []string{"h100", "rtx-4090"}[n%2], Mint: public.SOLMint, Devices: 1, Rate: 5,
				Provider: "peer001", Customer: "peer002"}})
	}
	for n := range 2500 {
		c.Txs = append(c.Txs, db.Tx{Sig: fmt.Sprintf("sig%05d", n), Inner: -1, Slot: int64(100 + n/10*7),
			At: start.UnixMilli() + int64(n/10)*1_200_000, Result: db.TxOK, Name: "open", Channel: "c", Amount: 9})
		c.Channels = append(c.Channels, db.Channel{ID: fmt.Sprintf("chan%05d", n), Payer: "a", Payee: "b",
			Mint: public.SOLMint, Decimals: 9, Deposit: 1 << 62, Slot: 1, OpenedAt: 1_800_000_000})
	}
	s.apply(t, start, c)
}

func csvOf(t *testing.T, s site, path string) [][]string {
	t.Helper()
	w := s.get(t, path)
	rows, err := csv.NewReader(w.Body).ReadAll()
	if w.Code != 200 || err != nil || len(rows) == 0 {
		t.Fatalf("%s: %d, %v", path, w.Code, err)
	}
	return rows[1:]
}

// TestExport_CSV: each row comes once, days next to each other are the whole, and one model is one model.
func TestExport_CSV(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		history(t, s)
		for path, want := range map[string]int{"prices.csv": 144, "prices.csv?slug=h100": 72, "channels.csv": 2500,
			"instructions.csv": 2500, "offers.csv": 7, "leases.csv": 5, "leases.csv?slug=h100": 3, "cleared.csv": 0,
			"offers.csv?slug=h100": 2, "prices.csv?slug=none": 0,
			"prices.csv?from=2999-01-01T00:00:00Z": 0, "instructions.csv?until=1999-01-01T00:00:00Z": 0} {
			rows, seen := csvOf(t, s, "/export/"+path), map[string]bool{}
			for _, r := range rows {
				seen[strings.Join(r, ",")] = true
			}
			if len(rows) != want || len(seen) != want {
				t.Errorf("%s: %d rows, %d of them different, want %d", path, len(rows), len(seen), want)
			}
		}
		m := read[public.Exports](t, s, "/export")
		for _, x := range m.Tables {
			if slices.Contains([]string{"prices", "instructions", "leases"}, x.Table) != !x.First.IsZero() {
				t.Errorf("%+v", x)
			}
			if x.First.IsZero() {
				continue
			}
			sum, all := 0, len(csvOf(t, s, "/export/"+x.Table+".csv"))
			for day := x.First.Truncate(24 * time.Hour); !day.After(x.Last.Time); day = day.AddDate(0, 0, 1) {
				q := "?from=" + day.Format(time.RFC3339) + "&until=" + day.AddDate(0, 0, 1).Format(time.RFC3339)
				sum += len(csvOf(t, s, "/export/"+x.Table+".csv"+q))
			}
			if sum != all {
				t.Errorf("%s: %d rows in days, %d in all", x.Table, sum, all)
			}
		}
		next := rig(9, "h100", "DE", 1, 1, 1)
		next.Lots[0].Name = `=HYPERLINK("http://evil.example")`
		s.apply(t, start, db.Change{Rigs: []db.Rig{next}})
		if r := csvOf(t, s, "/export/offers.csv")[0]; r[3] != `'=HYPERLINK("http://evil.example")` {
			t.Errorf("%q", r)
		}
	})
}

// TestExport_Parquet: each table is a file with a begin and an end.
func TestExport_Parquet(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		history(t, s)
		for _, x := range read[public.Exports](t, s, "/export").Tables {
			w := s.get(t, "/export/"+x.Table+".parquet")
			b := w.Body.String()
			if w.Code != 200 || !strings.HasPrefix(b, "PAR1") || !strings.HasSuffix(b, "PAR1") || len(b) < 300 {
				t.Errorf("%s: %d, %d bytes", x.Table, w.Code, len(b))
			}
		}
	})
}

// TestExport_Errors: what cannot be exported is refused before the first byte.
func TestExport_Errors(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		for path, want := range map[string]int{"nothing.csv": 404, "prices": 404, "prices.xlsx": 404,
			"prices.csv.csv": 404,
			"%2e%2e.csv":     404, "offers.csv?from=2026-01-01T00:00:00Z": 400, "channels.csv?slug=h100": 400,
			"prices.csv?slug=%00": 400, "prices.csv?from=x": 400, "prices.csv?limit=1": 400} {
			if w := s.get(t, "/export/"+path); w.Code != want {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
			}
		}
	})
}

// TestExport_Slots: an address has two downloads at a time, and pages are answered while they stand still.
func TestExport_Slots(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		h := httptest.NewServer(s.mux)
		defer h.Close()
		open := func() *http.Response {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), "GET", h.URL+public.Base+"/export/channels.csv", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		one, two := stalled(t, s), stalled(t, s)
		three := open()
		b, _ := io.ReadAll(three.Body)
		_ = three.Body.Close()
		if three.StatusCode != 429 || three.Header.Get("Retry-After") == "" ||
			!strings.Contains(string(b), string(market.CodeRateLimited)) {
			t.Errorf("%d %s", three.StatusCode, b)
		}
		for range 20 {
			if w := s.get(t, "/providers"); w.Code != 200 {
				t.Errorf("a page beside two downloads that stand still: %d", w.Code)
			}
		}
		one()
		two()
		four := open()
		_, err := io.Copy(io.Discard, four.Body)
		_ = four.Body.Close()
		if four.StatusCode != 200 || err != nil {
			t.Errorf("afterwards: %d, %v", four.StatusCode, err)
		}
	})
}

// stalled is a download of the address 127.0.0.1 whose reader does not read, until end is called.
func stalled(t *testing.T, s site) (end func()) {
	t.Helper()
	r := httptest.NewRequest("GET", public.Base+"/export/channels.csv", nil)
	r.RemoteAddr = "127.0.0.1:1"
	w := &still{ResponseRecorder: httptest.NewRecorder(), began: make(chan struct{}), end: make(chan struct{})}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		defer func() { _ = recover() }() // a cut connection, as net/http has it
		s.mux.ServeHTTP(w, r)
	})
	<-w.began
	return func() { close(w.end); <-done }
}

// still blocks its first write until end.
type still struct {
	*httptest.ResponseRecorder
	began, end chan struct{}
}

func (s *still) Write([]byte) (int, error) {
	close(s.began)
	<-s.end
	return 0, os.ErrDeadlineExceeded
}
