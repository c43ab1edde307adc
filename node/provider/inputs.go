package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Inputs come over a customer's own line, so less than the floor of images is asked of them, and over a longer time: a
// node may restart meanwhile.
const (
	inputsShare  = 4
	inputsWindow = 2 * time.Minute
)

// inputs is the hook of the files that a job begins with: they come through a tunnel while the lease prepares. marks
// belong to the lease's loop.
type inputs struct {
	l     *leaseRun
	ready atomic.Bool   // they are here, or there are none
	bytes atomic.Uint64 // of all tries together
	whole atomic.Bool   // the last try has sent all it has
	marks []mark
}

type mark struct {
	at    time.Time
	bytes uint64
}

// count returns r, counted.
func (in *inputs) count(r io.Reader) io.Reader {
	in.whole.Store(false)
	return counted{r, in}
}

type counted struct {
	r  io.Reader
	in *inputs
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
func (in *inputs) stalled(now time.Time, floor uint64) string {
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
func (h *inputs) waitCreated(ctx context.Context) error {
	l := h.l
	for {
		stepped, looked := l.actor.Watch(), l.watch.changed.Next()
		l.mu.Lock()
		s := l.seen.State
		l.mu.Unlock()
		if s == job.Created {
			return nil
		}
		if m := l.actor.Lease(); m.State != market.Preparing {
			return market.Refuse(market.CodeConflict, market.KindConflict, "the job is "+m.State.String())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stepped:
		case <-looked:
		}
	}
}

// take unpacks the inputs that a customer sends, once its container exists.
func (h *inputs) take(ctx context.Context, c *streams.FrameConn) error {
	l := h.l
	done, err := l.withFiles(ctx)
	if err != nil {
		return err
	}
	defer done()
	if h.ready.Load() {
		return refused(c, market.Refuse(market.CodeInputsStaged, market.KindConflict, "inputs are staged"))
	}
	if err := h.waitCreated(ctx); err != nil {
		return refused(c, err)
	}
	fs, err := l.d.access.Files(ctx, l.key)
	if err != nil {
		return refused(c, err)
	}
	m, err := fs.PutInputs(ctx, h.count(bounded(c, c.Reader(streams.ChanIn))), l.order.InputBytes)
	if err != nil {
		h.whole.Store(false) // it has to come again
		return refused(c, err)
	}
	h.ready.Store(true)
	if err := l.update(ctx, func(*leaseRow) {}); err != nil { // it is in every row from now on
		return err
	}
	l.poke()
	return c.Write(streams.ChanControl, moved(m).Encode())
}

// moved says what was left out. The entries stay here: the peer knows them, and they do not fit into a message.
func moved(m spec.Manifest) tunnel.Control {
	return tunnel.Control{Manifest: &spec.Manifest{Skipped: m.Skipped, More: m.More}}
}

// refused says why nothing more is taken, and reads on until the sender has stopped: who still writes cannot hear, and
// a reset would take the reason with it.
func refused(c *streams.FrameConn, err error) error {
	if err := errors.Join(c.Write(streams.ChanControl, tunnel.Failed(err).Encode()), c.CloseWrite()); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(drainWithin)); err != nil {
		return err
	}
	for {
		if ch, b, err := c.Read(); err != nil || ch == streams.ChanIn && len(b) == 0 {
			return nil // the sender has all that it needs
		}
	}
}

// drainWithin is how long a sender may go on after it was refused.
const drainWithin = 30 * time.Second
