package nodetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// letters is a log of n bytes, one record each, with a pause before each.
func letters(n uint64, pause time.Duration) runtimetest.LogFunc {
	return func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd, error) {
		for ; from < n; from++ {
			select {
			case <-ctx.Done():
				return job.LogEnd{}, ctx.Err()
			case <-time.After(pause):
			}
			if err := f(job.LogRecord{Offset: from, Time: time.Unix(5, 0), Stream: 1,
				Data: []byte{'a' + byte(from%26)}}); err != nil {
				return job.LogEnd{}, err
			}
		}
		return job.LogEnd{Total: n, Over: true, Whole: true}, nil
	}
}

// firstPart gives the first bytes of a log, then what then does.
func firstPart(n uint64, then func(ctx context.Context) error) runtimetest.LogFunc {
	all := letters(n, time.Millisecond)
	return func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd, error) {
		end, err := all(ctx, from, f)
		if err == nil {
			end.Over, end.Whole, err = false, false, then(ctx)
		}
		return end, err
	}
}

// awaitFor is await with a limit of its own.
func (w *world) awaitFor(t *testing.T, id market.OrderID, limit time.Duration,
	ok func(customer.View) bool) customer.View {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		v, err := w.cust.Order(id.String())
		if err == nil && ok(v) {
			return v
		}
		if time.Now().After(end) {
			t.Fatalf("order stands at %s %s %s (%v): %+v", v.Standing, v.Code, v.Detail, err, v.Steps)
		}
	}
}

// logged reads the order's log as it is after its end.
func (w *world) logged(t *testing.T, id market.OrderID) (text string, s joblog.State) {
	t.Helper()
	s, err := w.cust.Logs(t.Context(), id.String(), customer.LogQuery{Follow: true},
		func(r job.LogRecord) error { text += string(r.Data); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return text, s
}

// TestLogCopy_AgreesWhenTheLogIsHere: an order ends when its log is whole, however slow that is while bytes come; a log
// that stops coming, or never stops, is given up within bounds, and that is said in the row, to people, and in the
// signed Outcome. The container goes after that.
//
//nolint:funlen // one story
func TestLogCopy_AgreesWhenTheLogIsHere(t *testing.T) {
	t.Parallel()
	cut := market.Refuse(market.CodeEngineError, market.KindUnavailable, "cut")
	for name, c := range map[string]struct {
		logs        runtimetest.LogFunc
		least, most time.Duration // from the job's end to the order's
		bytes       uint64
		why         string
	}{
		"at once":   {letters(20, 0), 0, 5 * time.Second, 20, ""},
		"slow link": {letters(60, 10*time.Second), 9 * time.Minute, 11 * time.Minute, 60, ""},
		"cut after each byte": {func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd,
			error) {
			if from == 12 {
				return letters(12, 0)(ctx, from, f)
			}
			end, err := letters(from+1, 0)(ctx, from, f)
			if err == nil {
				err = cut
			}
			return end, err
		}, 0, 10 * time.Second, 12, ""},
		"stalls": {firstPart(5, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), time.Minute,
			80 * time.Second, 5, joblog.WhySilent},
		"fails": {firstPart(5, func(context.Context) error { return cut }), time.Minute, 90 * time.Second, 5,
			joblog.WhySilent},
		"never ends": {letters(1<<40, 5*time.Second), 20 * time.Minute, 22 * time.Minute, 0, joblog.WhySilent},
		"lost end": {func(ctx context.Context, from uint64, f func(job.LogRecord) error) (job.LogEnd, error) {
			end, err := letters(7, 0)(ctx, from, f)
			end.Whole = false
			return end, err
		}, 0, 5 * time.Second, 7, joblog.WhyRig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 2 * time.Second}, func(t *testing.T, w *world) {
				w.engine.SetLogs(c.logs)
				id := w.place(t, request("log"))
				var ended time.Time
				v := w.awaitFor(t, id, time.Hour, func(v customer.View) bool {
					if ended.IsZero() && v.Lease != nil && v.Lease.State == market.Closing {
						ended = time.Now()
					}
					return v.Standing == customer.StandingEnded
				})
				took := time.Duration(0)
				if !ended.IsZero() {
					took = time.Since(ended)
				}
				if took < c.least || took > c.most {
					t.Errorf("ended %s after the job, want %s to %s: %+v", took, c.least, c.most, v.Steps)
				}
				text, s := w.logged(t, id)
				if !s.Over || s.Why != c.why || s.Whole != (c.why == "") || c.bytes > 0 &&
					(s.Total != c.bytes || uint64(len(text)) != c.bytes) {
					t.Errorf("%+v, %q", s, text)
				}
				if !strings.HasPrefix(text, "abc") {
					t.Errorf("%q", text)
				}
				out, _, err := wire.OpenOutcome(v.OwnOutcome, w.cc.Network)
				want := map[bool]market.LogEnd{true: market.LogWhole, false: market.LogCut}[c.why == ""]
				if err != nil || out.LogEnd != want || out.LogBytes != s.Total || out.LogMissing != s.Missing {
					t.Errorf("the outcome says %d of %d, %d: %v", out.LogMissing, out.LogBytes, out.LogEnd, err)
				}
				said := false
				for _, step := range v.Steps {
					said = said || step.Phase == "logs"
				}
				if said == (c.why == "") {
					t.Errorf("%+v", v.Steps)
				}
				until(t, "the container stays", func() bool { return w.engine.Jobs() == 0 })
			})
		})
	}
}

// TestLogCopy_CustomerRestarts_GoesOnByPlace: what was on disk is not asked for again, what was not is.
func TestLogCopy_CustomerRestarts_GoesOnByPlace(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		w.engine.SetLogs(letters(90, time.Second))
		id := w.place(t, request("log"))
		w.await(t, id, func(v customer.View) bool { return v.Log != nil && v.Log.Total >= 30 })
		w.stopCust()
		w.startCustomer(t)
		w.await(t, id, func(v customer.View) bool { return v.Standing == customer.StandingEnded })
		text, s := w.logged(t, id)
		if !s.Complete() || len(text) != 90 {
			t.Errorf("%+v, %q", s, text)
		}
		for i := range text {
			if text[i] != 'a'+byte(i%26) {
				t.Fatalf("%q differs at %d", text, i)
			}
		}
	})
}
