package indexer

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/indextest"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// lately is when the stories of all tests end: nothing of it is too new to compare.
var lately = time.Now().Add(-10 * time.Minute).Truncate(time.Hour)

// storied is an index as it is after a month.
func storied(t *testing.T) http.Handler {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := indextest.Fill(t.Context(), d, network, lately); err != nil {
		t.Fatal(err)
	}
	m := public.New(public.Config{Index: d, Network: network, Since: lately}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { m.Close(); _ = d.Close() })
	return m
}

// liar answers as h does, but for what change makes of the answer at a path.
func liar(t *testing.T, h http.Handler, path string, change func(string) string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.TrimPrefix(r.URL.Path, public.Base) != path {
			h.ServeHTTP(w, r)
			return
		}
		r.Header.Del("Accept-Encoding") // what is compressed cannot be changed
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		w.WriteHeader(got.Code)
		_, _ = w.Write([]byte(change(got.Body.String())))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func same(s string) string { return s }

// line changes one of a file's.
func line(n int, change func(string) string) func(string) string {
	return func(s string) string {
		all := strings.SplitAfter(s, "\n")
		all[n] = change(all[n])
		return strings.Join(all, "")
	}
}

// cell is one of a file's line.
func cell(t *testing.T, name, value string) func(string) string {
	t.Helper()
	return func(s string) string {
		all := strings.SplitAfter(s, "\n")
		for i, head := range strings.Split(strings.TrimSpace(all[0]), ",") {
			if head == name {
				cells := strings.Split(all[2], ",")
				cells[i] = value
				all[2] = strings.Join(cells, ",")
				return strings.Join(all, "")
			}
		}
		t.Errorf("no column %s", name)
		return s
	}
}

// oneLedger says the same of each channel.
type oneLedger struct{}

func (oneLedger) Channel(context.Context, market.ChannelID) (escrow.ChannelState, error) {
	return escrow.ChannelState{Status: escrow.StatusOpen, Deposit: 77}, nil
}

// TestCompareAll_TheLiarIsFound: two that agree do; a forged channel is named beside what the chain says, a forged
// lease is named, rigs that one hides are listed.
func TestCompareAll_TheLiarIsFound(t *testing.T) {
	t.Parallel()
	h := storied(t)
	honest := liar(t, h, "/none", same)
	compare := func(b string) Comparison {
		t.Helper()
		c, err := CompareAll(t.Context(), honest, b, nil, ChannelOnChain(oneLedger{}))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := compare(liar(t, storied(t), "/none", same)); !c.Agrees || c.Channels.Common == 0 || c.Leases.Common == 0 ||
		c.Offers.Common == 0 || c.firstDifference() != "" {
		t.Errorf("two honest ones: %+v %+v %+v %+v", c, c.Channels, c.Leases, c.Offers)
	}
	c := compare(liar(t, h, "/export/channels.csv", cell(t, "deposit", "1")))
	if c.Agrees || c.Channels.Differ != 1 || c.Channels.A == c.Channels.B || !strings.Contains(c.Channels.B, " 1 ") ||
		!strings.Contains(c.Channels.Chain, " 77 ") || !strings.HasPrefix(c.firstDifference(), "channel ") {
		t.Errorf("a forged channel: %+v", c.Channels)
	}
	hidden := compare(liar(t, h, "/export/channels.csv", line(2, func(string) string { return "" })))
	if hidden.Agrees || hidden.Channels.OnlyOne != 1 || hidden.Channels.B != "" || hidden.Channels.A == "" {
		t.Errorf("a hidden channel: %+v", hidden.Channels)
	}
	c = compare(liar(t, h, "/export/leases.csv", cell(t, "amount", "1")))
	if c.Agrees || c.Leases.Differ != 1 || !strings.HasPrefix(c.firstDifference(), "lease ") {
		t.Errorf("a forged lease: %+v", c.Leases)
	}
	c = compare(liar(t, h, "/export/leases.csv", line(3, func(string) string { return "" })))
	if !c.Agrees || c.Leases.OnlyOne != 1 {
		t.Errorf("a lease that gossip lost: %+v", c.Leases)
	}
	c = compare(liar(t, h, "/providers", func(s string) string {
		var p public.Providers
		if err := json.Unmarshal([]byte(s), &p); err != nil {
			t.Error(err)
		}
		p.Providers = p.Providers[:len(p.Providers)/2]
		b, _ := json.Marshal(p) // it was read from it
		return string(b)
	}))
	if c.Agrees || c.Offers.Differ == 0 || len(c.Offers.Examples) == 0 || c.Offers.Examples[0].B != 0 ||
		!strings.HasPrefix(c.firstDifference(), "offer of ") {
		t.Errorf("hidden offers: %+v", c.Offers)
	}
}

// TestCompareAll_Broken: what is no table, has no end or is out of order is an error, in little memory.
func TestCompareAll_Broken(t *testing.T) {
	t.Parallel()
	h := storied(t)
	honest := liar(t, h, "/none", same)
	swap := func(s string) string {
		all := strings.SplitAfter(s, "\n")
		all[1], all[2] = all[2], all[1]
		return strings.Join(all, "")
	}
	for what, change := range map[string]func(string) string{
		"html": func(string) string { return "<html>" }, "empty": func(string) string { return "" }, "order": swap,
		"a cell without end": func(s string) string { return s + `"` + strings.Repeat("x", 1<<20) },
		"a cell less":        line(1, func(s string) string { return s[strings.Index(s, ",")+1:] }),
	} {
		_, err := CompareAll(t.Context(), honest, liar(t, h, "/export/channels.csv", change), nil, nil)
		if market.CodeOf(err) != market.CodePeerFailed {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestCompare_WaitsAsTold: an indexer that has no room is asked again when it says.
func TestCompare_WaitsAsTold(t *testing.T) {
	t.Parallel()
	h := storied(t)
	var refused atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	var sum public.Summary
	if err := fetch(t.Context(), s.URL, "/summary", &sum); err != nil || sum.Network != network || refused.Load() != 2 {
		t.Errorf("%+v, %v, asked %d times", sum, err, refused.Load())
	}
	stubborn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer stubborn.Close()
	if err := fetch(t.Context(), stubborn.URL, "/summary", &sum); market.CodeOf(err) != market.CodePeerFailed {
		t.Errorf("one that does not say when: %v", err)
	}
}

// TestCompare_StandsInNetwork: what came of the comparison is public, with the time, and each other stands there once.
func TestCompare_StandsInNetwork(t *testing.T) {
	t.Parallel()
	h := storied(t)
	other := liar(t, h, "/export/channels.csv", cell(t, "deposit", "1"))
	own := strings.TrimPrefix(liar(t, h, "/none", same), "http://")
	x := &comparer{log: slog.New(slog.DiscardHandler), own: func() string { return own }}
	for range 2 {
		x.compare(t.Context(), other)
		x.compare(t.Context(), "http://127.0.0.1:1")
	}
	got := x.comparedWith()
	if len(got) != 2 || got[0].With != other || got[0].Agrees || !strings.HasPrefix(got[0].First, "channel ") ||
		got[0].At.IsZero() || got[0].Offers == 0 || got[1].Failed != market.CodePeerUnreachable || got[1].Agrees {
		t.Errorf("%+v", got)
	}
}
