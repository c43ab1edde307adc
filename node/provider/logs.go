package provider

import (
	"context"

	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
)

// sendLogs sends a job's log; a customer of an older version gets it without places, by time.
func sendLogs(ctx context.Context, l *leaseRun, a tunnel.LogsArgs, c *streams.FrameConn) error {
	send := func(r job.LogRecord) error {
		if r.Gap > 0 || !r.Time.After(a.Since) {
			return nil
		}
		return c.Write(streams.ChanOut, tunnel.EncodeLog(r.Time, r.Stream, r.Data))
	}
	if a.Places {
		if err := c.Write(streams.ChanControl, tunnel.Control{Places: true}.Encode()); err != nil {
			return err
		}
		send = func(r job.LogRecord) error { return c.Write(streams.ChanOut, tunnel.EncodeRecord(r)) }
	}
	end, err := l.d.access.Logs(ctx, l.key, a.From, a.Follow, send)
	if err != nil {
		return c.Write(streams.ChanControl, tunnel.Failed(err).Encode())
	}
	ctl := tunnel.Control{End: true}
	if a.Places {
		ctl.Log = &tunnel.LogEnd{Total: end.Total, Over: end.Over, Whole: end.Whole}
	}
	return c.Write(streams.ChanControl, ctl.Encode())
}
