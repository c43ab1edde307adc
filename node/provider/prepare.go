package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// stepLasts is how long a step must last before the lease notes it: a quick preparation needs no commits.
const stepLasts = time.Second

// preparing tells the lease what its preparation waits for and why, so that the end names it if the time runs out.
func (l *leaseRun) preparing(ctx context.Context, m market.Lease, o job.Observed, err error) {
	if m.State != market.Preparing {
		return
	}
	step := market.PrepStep{Phase: o.Progress.Phase, Detail: o.Detail}
	switch {
	case o.State == job.Unknown:
		step.Phase = "create" // the engine's part of it
		if err != nil {
			step.Detail = "the rig's engine does not answer"
		}
	case o.State == job.Pulling:
		step.Phase = "pull"
	case o.State == job.Created && !l.inputsReady.Load():
		step.Phase = "inputs"
	case o.State == job.Created || o.State == job.Gated:
		step.Phase = "start"
	}
	if step != l.step {
		l.step, l.stepSince = step, time.Now()
	}
	if step.Phase != "inputs" {
		l.incoming.marks = nil
	} else if detail := l.incoming.stalled(time.Now(), l.quote.FloorRate/inputsShare); detail != "" {
		if err := l.tell(ctx, market.PrepFailed{Code: "input-stalled", Detail: detail}); err != nil &&
			ctx.Err() == nil {
			l.p.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
		return
	}
	if (step.Phase != m.Phase || step.Detail != m.Words) && time.Since(l.stepSince) >= stepLasts {
		if err := l.tell(ctx, step); err != nil && ctx.Err() == nil {
			l.p.log.Warn("Lease event was not taken", "lease", l.id, "error", err)
		}
	}
}

// Inputs come over a customer's own line, so less than the floor of images is asked of them, and over a longer time: a
// node may restart meanwhile.
const (
	inputsShare  = 4
	inputsWindow = 2 * time.Minute
)

// incoming counts the inputs that come. marks belong to the lease's loop.
type incoming struct {
	bytes atomic.Uint64 // of all tries together
	whole atomic.Bool   // the last try has sent all it has
	marks []mark
}

type mark struct {
	at    time.Time
	bytes uint64
}

// count returns r, counted.
func (in *incoming) count(r io.Reader) io.Reader {
	in.whole.Store(false)
	return counted{r, in}
}

type counted struct {
	r  io.Reader
	in *incoming
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.in.bytes.Add(uint64(n))
	if errors.Is(err, io.EOF) {
		c.in.whole.Store(true)
	}
	return n, err
}

// stalled says what is wrong when less than floor bytes a second came over a whole window; "": nothing, or all is here
// and being unpacked.
func (in *incoming) stalled(now time.Time, floor uint64) string {
	n := in.bytes.Load()
	if in.whole.Load() {
		in.marks = nil
		return ""
	}
	if len(in.marks) == 0 || now.Sub(in.marks[len(in.marks)-1].at) >= time.Second {
		in.marks = append(in.marks, mark{now, n})
	}
	for len(in.marks) > 2 && now.Sub(in.marks[1].at) >= inputsWindow {
		in.marks = in.marks[1:]
	}
	span := now.Sub(in.marks[0].at)
	if span < inputsWindow {
		return ""
	}
	if rate := float64(n-in.marks[0].bytes) / span.Seconds(); rate < float64(floor) {
		return fmt.Sprintf("%.0f bytes/s of the inputs came over %s, at least %d are due", rate, inputsWindow, floor)
	}
	return ""
}

// waitCreated waits until the container exists, for inputs. Refusal: unavailable when the lease ends first.
func (l *leaseRun) waitCreated(ctx context.Context) error {
	for {
		l.mu.Lock()
		s := l.seen.State
		l.mu.Unlock()
		if s == job.Created {
			return nil
		}
		if m := l.actor.Lease(); m.State != market.Preparing {
			return market.Refuse("conflict", market.KindConflict, "the job is "+m.State.String())
		}
		if err := sleep(ctx, settleEvery); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
