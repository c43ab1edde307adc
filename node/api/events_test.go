package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// feed is rows in memory.
type feed struct {
	mu      sync.Mutex
	rows    []rest.Event
	floor   uint64
	changed chan struct{}
}

func newFeed() *feed { return &feed{changed: make(chan struct{})} }

func (f *feed) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		seq := uint64(len(f.rows)) + 1
		f.rows = append(f.rows, rest.Event{Seq: seq, Topic: Topics[seq%2],
			Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, seq))})
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *feed) EventsChanged() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *feed) Events(_ context.Context, after uint64, limit int) ([]rest.Event, uint64, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := uint64(len(f.rows))
	from := min(after, n)
	return f.rows[from:min(n, from+uint64(limit))], f.floor, n, nil
}

// read takes rows from a stream until stop says so, or it ends; what comes back are its ids and the names of events
// without one.
func read(t *testing.T, c *Client, query, last string, stop func(id uint64, name string) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://node"+Base+"/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("%s, %s", resp.Status, got)
	}
	id, name := uint64(0), ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			if id, err = strconv.ParseUint(value, 10, 64); err != nil {
				t.Fatal(err)
			}
		case "event":
			name = value
		case "data":
			if name != "reset" && name != "lagged" && value != fmt.Sprintf(`{"n":%d}`, id) {
				t.Errorf("row %d has data %s", id, value)
			}
			if stop(id, name) {
				return
			}
		}
	}
}

func TestEvents_ResumeWithoutGapOrDuplicate(t *testing.T) {
	t.Parallel()
	f := newFeed()
	c := serveConfig(t, Config{Backend: &whole{}, Events: f})
	const total = 2000
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for n := 0; n < total; {
			step := min(1+rand.IntN(40), total-n)
			f.add(step)
			n += step
		}
	})
	next := uint64(1)
	for next <= total { // cut at random rows
		cut := next + uint64(rand.IntN(300))
		read(t, c, "", strconv.FormatUint(next-1, 10), func(id uint64, name string) bool {
			if name == "lagged" { // the writer was faster: the next reader goes on
				return true
			}
			if id != next {
				t.Fatalf("row %d (%s), want %d", id, name, next)
			}
			next++
			return id >= cut || next > total
		})
	}
	var got []uint64
	read(t, c, "?topics="+Topics[1], "0", func(id uint64, name string) bool {
		got = append(got, id)
		if name != Topics[1] {
			t.Errorf("row %d of %s", id, name)
		}
		return len(got) == 3
	})
	if fmt.Sprint(got) != "[1 3 5]" {
		t.Errorf("one topic: %v", got)
	}
}

func TestEvents_Reset(t *testing.T) {
	t.Parallel()
	f := newFeed()
	f.add(10)
	f.floor = 5
	c := serveConfig(t, Config{Backend: &whole{}, Events: f})
	for last, want := range map[string]string{"4": "10 reset", "11": "10 reset", "5": "6 " + Topics[0]} {
		read(t, c, "", last, func(id uint64, name string) bool {
			if got := fmt.Sprint(id, " ", name); got != want {
				t.Errorf("after %s: %s, want %s", last, got, want)
			}
			return true
		})
	}
}

func TestEvents_StreamsAreBounded(t *testing.T) {
	t.Parallel()
	c := serveConfig(t, Config{Backend: &whole{}, Events: newFeed()})
	for range rest.MaxStreams {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://node"+Base+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(r)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
	}
	status, header, text := ask(t, c, "GET", Base+"/events", "")
	isProblem(t, "one stream too many", 503, market.CodeBusy, status, header, text)
	if header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// slow is a reader's connection that takes nothing while it is blocked.
type slow struct {
	record
	gate chan struct{} // closed: writes pass
}

func (s *slow) Flush() {}
func (s *slow) Write(b []byte) (int, error) {
	<-s.gate
	return s.body.Write(b)
}

func TestEvents_SlowReaderIsDropped_IdleOneGetsHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed()
		s := New(Config{Backend: &whole{}, Events: f}, slog.New(slog.DiscardHandler))
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", Base+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		w := &slow{record: record{header: http.Header{}}, gate: make(chan struct{})}
		close(w.gate)
		var wg sync.WaitGroup
		wg.Go(func() { s.ServeHTTP(w, r) })
		time.Sleep(46 * time.Second) // virtual
		synctest.Wait()
		if n := strings.Count(w.body.String(), ": heartbeat\n\n"); n != 3 {
			t.Errorf("%d heartbeats in 46 s: %q", n, w.body.String())
		}
		w.gate = make(chan struct{})
		f.add(1) // its write blocks
		synctest.Wait()
		f.add(rest.MaxBacklog + 1)
		close(w.gate)
		wg.Wait() // it is ended by the server
		cancel()
		if text := w.body.String(); !strings.HasSuffix(text, "event: lagged\ndata: {}\n\n") ||
			strings.Count(text, "id: ") != 1 {
			t.Errorf("a slow reader got %q", text)
		}
	})
}
