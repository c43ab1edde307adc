package health

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// How often a running node looks at its machine: soon again while something fails, as right after the start nobody is
// connected yet.
const (
	watchEvery = time.Hour
	watchRetry = time.Minute
)

// Report is what Check found, and when.
type Report struct {
	At       time.Time
	Findings []Finding
}

// Level is the worst level of the findings, ok without any.
func (r Report) Level() string {
	level := OK
	for _, f := range r.Findings {
		if f.Level == Fail || f.Level == Warn && level == OK {
			level = f.Level
		}
	}
	return level
}

// Codes are those of the findings, sorted, each once.
func (r Report) Codes() []market.Code {
	out := []market.Code{}
	for _, f := range r.Findings {
		if f.Code != "" && !slices.Contains(out, f.Code) {
			out = append(out, f.Code)
		}
	}
	slices.Sort(out)
	return out
}

// Watch looks at the machine once an hour and remembers what it saw. Use NewWatch; Last is safe for any goroutine.
type Watch struct {
	input func() Input
	again chan struct{}
	mu    sync.Mutex
	last  Report
}

// NewWatch returns one that has seen nothing yet. input says what to look at, each time anew.
func NewWatch(input func() Input) *Watch { return &Watch{input: input, again: make(chan struct{}, 1)} }

// Look has Serve look now: something has changed.
func (w *Watch) Look() {
	select {
	case w.again <- struct{}{}:
	default: // it will already
	}
}

// Last is the newest report; its time is zero before the first.
func (w *Watch) Last() Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Serve looks at once, then hourly, each minute while something fails, until ctx ends. changed, which may be nil, is
// told a report whose codes differ from the one before.
func (w *Watch) Serve(ctx context.Context, changed func(Report)) error {
	for {
		r := Report{Findings: Check(ctx, w.input())}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.At = time.Now()
		w.mu.Lock()
		old := w.last
		w.last = r
		w.mu.Unlock()
		if changed != nil && !slices.Equal(old.Codes(), r.Codes()) {
			changed(r)
		}
		wait := watchEvery
		if r.Level() == Fail {
			wait = watchRetry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		case <-w.again:
			t.Stop()
		}
	}
}
