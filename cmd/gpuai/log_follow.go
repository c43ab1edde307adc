package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// A node that is restarted is waited for that long, looked for that often.
const (
	nodeBack  = time.Minute
	nodeAgain = 300 * time.Millisecond
)

// exitPipe is what a shell says of a command whose reader went away.
const exitPipe = 128 + int(syscall.SIGPIPE)

// closed is the error of an output whose reader went away.
func closed(err error) bool { return errors.Is(err, syscall.EPIPE) }

// away reports whether the node did not answer, or was cut off while it did. What it says itself is no such error.
func away(err error) bool {
	code := market.CodeOf(err)
	return err != nil && (code == "" || code == market.CodeNodeUnreachable)
}

// outage waits for a node that went away.
type outage struct{ since time.Time }

// wait sleeps a moment; false: it was long enough, or ctx ended.
func (o *outage) wait(ctx context.Context) bool {
	if o.since.IsZero() {
		o.since = time.Now()
	}
	if time.Since(o.since) > nodeBack {
		return false
	}
	t := time.NewTimer(nodeAgain)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// readLog reads a log; a follower whose node was cut off goes on behind the last byte that it got. Errors: the node's,
// f's.
func readLog(ctx context.Context, c *api.Client, id string, q api.LogQuery, f func(api.LogPiece) error) (api.LogState,
	error) {
	var out outage
	for {
		var own error
		state, err := c.Logs(ctx, id, q, func(p api.LogPiece) error {
			if own = f(p); own != nil {
				return own
			}
			q.From, q.Since, out = max(q.From, p.Offset+p.Gap+uint64(len(p.Data))), time.Time{}, outage{}
			return nil
		})
		// A node that has just started may not know its orders yet.
		if own != nil || !q.Follow || !away(err) && (out.since.IsZero() || market.CodeOf(err) != market.CodeNotFound) ||
			!out.wait(ctx) {
			return state, errors.Join(own, err)
		}
	}
}

// gapWords name missing bytes in a log that people read.
func gapWords(p api.LogPiece) string {
	return fmt.Sprintf("[bytes %d to %d of the log are missing]", p.Offset, p.Offset+p.Gap-1)
}

// lacks says what a log that is over misses; empty: nothing.
func lacks(s api.LogState) string {
	end := map[string]string{
		"lost-on-the-rig": "the end was lost on the rig", "not-handed-over": "the provider did not hand over the end",
		"not-kept": "the disk of the node did not take the rest",
	}[s.Why]
	switch {
	case !s.Over || s.Complete:
		return ""
	case s.Missing == 0:
		return end
	case end != "":
		return fmt.Sprintf("%d of %d bytes are missing, and %s", s.Missing, s.Bytes, end)
	}
	return fmt.Sprintf("%d of %d bytes are missing", s.Missing, s.Bytes)
}
