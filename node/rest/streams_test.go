package rest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// still has no rows.
type still struct{ changed chan struct{} }

func (still) Events(context.Context, uint64, int) ([]Event, uint64, uint64, error) {
	return nil, 0, 0, nil
}
func (s still) EventsChanged() <-chan struct{} { return s.changed }

// opened is a stream that has begun, until end is called.
func opened(t *testing.T, h http.Handler, from string) (status int, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/events", nil)
	r.RemoteAddr = from
	w := &begun{ResponseRecorder: httptest.NewRecorder(), at: make(chan struct{})}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		h.ServeHTTP(w, r)
	})
	select {
	case <-w.at:
	case <-done:
	}
	return w.Code, func() { cancel(); wg.Wait() }
}

// begun tells the first byte.
type begun struct {
	*httptest.ResponseRecorder
	at chan struct{}
}

func (b *begun) Flush() {
	select {
	case <-b.at:
	default:
		close(b.at)
	}
}

// TestEvents_EachAddress: one that has all of its streams is told when to come again, others still get theirs; of
// IPv6 a /64 is one.
func TestEvents_EachAddress(t *testing.T) {
	t.Parallel()
	m := New(Options{Title: "t", Version: "1", Base: "/v1"}, slog.New(slog.DiscardHandler))
	defer m.Close()
	s := &Events{Feed: still{make(chan struct{})}, Life: m.Operations.Life(), Each: 2}
	m.Add("t", Stream("GET", "/events", "events", "events", s.Serve).In(ScopeNone))
	for _, of := range [][]string{{"192.0.2.1:1", "192.0.2.1:2", "[::ffff:192.0.2.1]:3", "192.0.2.2:1"},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:1", "[2001:db8:1:2::2]:2", "[2001:db8:1:3::1]:1"}} {
		var ends []func()
		for i, from := range of {
			status, end := opened(t, m, from)
			ends = append(ends, end)
			if want := map[bool]int{true: 429, false: 200}[i == 2]; status != want {
				t.Errorf("%s: %d, want %d", from, status, want)
			}
		}
		r := httptest.NewRequest("GET", "/v1/events", nil)
		r.RemoteAddr = of[0]
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if code(t, w.Result()) != market.CodeRateLimited || w.Header().Get("Retry-After") == "" {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		for _, end := range ends {
			end()
		}
		status, end := opened(t, m, of[0])
		end()
		if status != 200 {
			t.Errorf("after others ended: %d", status)
		}
	}
	if len(s.slots.of) != 0 || s.slots.all != 0 {
		t.Errorf("%v are still counted", s.slots.of)
	}
}
