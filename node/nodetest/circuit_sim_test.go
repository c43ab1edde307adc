package nodetest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// TestRelay_NextCircuitBeforeLimit: a lease over a relay goes on for as long as its job runs, though a circuit lasts
// three minutes, or carries 1 MiB. Its job does not stand still, the bill is exact, and a command beside it loses no
// byte of its input or output.
func TestRelay_NextCircuitBeforeLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		times int
		every time.Duration
		bytes int
		limit [2]string
	}{
		"time":  {20, 30 * time.Second, 10, [2]string{"3m", "4MiB"}}, // three circuits long
		"bytes": {20, 10 * time.Second, 128 << 10, [2]string{"30m", "1MiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := time.Duration(c.times+1) * c.every
			simulate(t, setup{work: work, relayed: true, circuit: c.limit}, func(t *testing.T, w *world) {
				r := request("long")
				r.File.Limits.MaxDuration, r.File.Limits.MaxTotal = 2*time.Hour, 10_000_000_000
				before := w.chain.Balance(w.payout)
				id := w.place(t, r)
				w.await(t, id, running)
				began := time.Now()
				sent, said := w.beside(t, id, c.times, c.every, c.bytes)
				if !bytes.Equal(sent, said) {
					t.Errorf("of %d bytes %d came back", len(sent), len(said))
				}
				time.Sleep(c.every) // the job works on
				v := w.await(t, id, over)
				w.exact(t, v, market.CodeCompleted, before)
				if stood := time.Since(began) - work; stood > time.Minute {
					t.Errorf("the job stood for %s; %+v", stood, v.Steps)
				}
			})
		})
	}
}

// beside runs a command beside the job that repeats its input, which comes in pieces.
func (w *world) beside(t *testing.T, id market.OrderID, times int, every time.Duration, size int) (sent, said []byte) {
	t.Helper()
	in, feed := io.Pipe()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range times {
		sent = append(sent, bytes.Repeat([]byte{byte('a' + i)}, size)...)
	}
	wg.Go(func() {
		var errs []error
		for i := range times {
			time.Sleep(every)
			_, err := feed.Write(sent[i*size : (i+1)*size])
			errs = append(errs, err)
		}
		if err := errors.Join(append(errs, feed.Close())...); err != nil {
			t.Error(err)
		}
	})
	code, err := w.cust.Exec(t.Context(), id.String(), tunnel.ExecArgs{Argv: []string{runtimetest.TestJob, "stdin"}},
		nil, in,
		func(_ uint8, b []byte) error { said = append(said, b...); return nil })
	_ = in.Close() // the feeder ends, whatever happened
	if code != 0 || err != nil {
		t.Errorf("the command ended with %d, %v", code, err)
	}
	return sent, said
}
