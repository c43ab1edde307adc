package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

type serveFunc func(ctx context.Context, c *streams.FrameConn) error

// Open admits a tunnel of the lease's own customer. Refusals: unknown-lease, malformed, paused, policy.
func (p *Provider) Open(ctx context.Context, from market.NodeID,
	o streams.TunnelOpen) (func(context.Context, *streams.FrameConn) error, error) {
	if err := p.started(ctx, p.loaded); err != nil {
		return nil, err
	}
	l, err := p.ownLease(from, o.Lease)
	if err != nil {
		return nil, err
	}
	switch o.Kind {
	case streams.TunnelExec:
		return p.openExec(l, o.Args)
	case streams.TunnelLogs:
		var a tunnel.LogsArgs
		if err := json.Unmarshal(o.Args, &a); err != nil {
			return nil, market.Refuse("malformed", market.KindInvalid, "logs arguments")
		}
		return func(ctx context.Context, c *streams.FrameConn) error { return p.serveLogs(ctx, l, a, c) }, nil
	case streams.TunnelPut:
		var a tunnel.PutArgs
		if err := json.Unmarshal(o.Args, &a); err != nil {
			return nil, market.Refuse("malformed", market.KindInvalid, "put arguments")
		}
		if a.Total > l.order.InputBytes {
			return nil, market.Refuse("too-large", market.KindInvalid,
				fmt.Sprintf("the order names %d input bytes", l.order.InputBytes))
		}
		return func(ctx context.Context, c *streams.FrameConn) error { return p.servePut(ctx, l, c) }, nil
	case streams.TunnelGet:
		return func(ctx context.Context, c *streams.FrameConn) error { return p.serveGet(ctx, l, c) }, nil
	}
	return nil, market.Refuse("malformed", market.KindInvalid, "unknown tunnel kind")
}

func (p *Provider) openExec(l *leaseRun, args []byte) (serveFunc, error) {
	var a tunnel.ExecArgs
	if err := json.Unmarshal(args, &a); err != nil || len(a.Argv) == 0 {
		return nil, market.Refuse("malformed", market.KindInvalid, "exec arguments")
	}
	switch s := l.actor.Lease().State; {
	case s == market.Paused:
		return nil, market.Refuse("paused", market.KindUnavailable, "the job is "+s.String())
	case s < market.Running:
		return nil, market.Refuse("not-ready", market.KindUnavailable, "the job is "+s.String())
	case s != market.Running:
		return nil, market.Refuse("job-ended", market.KindConflict, "the job is "+s.String())
	}
	return func(ctx context.Context, c *streams.FrameConn) error {
		st, err := p.access.Exec(ctx, l.key, job.ExecSpec{Argv: a.Argv, TTY: a.TTY, Cols: a.Cols, Rows: a.Rows,
			Term: a.Term})
		if err != nil {
			err = c.Write(streams.ChanControl, tunnel.Failed(err).Encode())
			late := time.AfterFunc(execDrain, func() { _ = c.CloseRead() })
			defer late.Stop()
			for _, _, gone := c.Read(); gone == nil; { // input on its way is dropped, or the caller loses the reason
				_, _, gone = c.Read()
			}
			return err
		}
		defer st.Close() // kills the process group
		g, gctx := errgroup.WithContext(ctx)
		stop := context.AfterFunc(gctx, func() { st.Close() })
		defer stop()
		over := make(chan struct{}) // the command has ended, and its exit code was sent
		g.Go(func() error {
			err := feedExec(st, c, over)
			select {
			case <-over:
				// the caller hung up, as it should, or our own CloseRead woke it; a reset now would lose the exit code
				return nil
			default:
				return err
			}
		})
		g.Go(func() error {
			err := showExec(st, c)
			st.Close() // input that the engine no longer takes would block here
			close(over)
			if err != nil {
				return errors.Join(err, c.CloseRead())
			}
			// Input that is still under way is dropped until the caller hangs up: its refusal would reset the stream,
			// and lose the exit code.
			late := time.AfterFunc(execDrain, func() { _ = c.CloseRead() })
			context.AfterFunc(gctx, func() { late.Stop() }) // all is read
			return nil
		})
		return g.Wait()
	}, nil
}

// execDrain is how long the caller of an exec has to hang up after its end.
const execDrain = 10 * time.Second

// showExec sends what the command says, and its end.
func showExec(st job.ExecStream, c *streams.FrameConn) error {
	exit, err := st.Output(func(stream uint8, b []byte) error {
		ch := streams.ChanOut
		if stream == 2 {
			ch = streams.ChanErr
		}
		return c.Write(ch, b)
	})
	end := tunnel.Control{Exit: &exit}
	if err != nil {
		end = tunnel.Failed(err)
	}
	return c.Write(streams.ChanControl, end.Encode())
}

// feedExec gives the command its input until the caller hangs up. What comes after the command has ended, at over, is
// dropped.
func feedExec(st job.ExecStream, c *streams.FrameConn, over <-chan struct{}) error {
	for {
		ch, b, err := c.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		switch ch {
		case streams.ChanIn:
			if _, err := st.Write(b); err != nil {
				<-over // it reads no more: its caller waits too, as at a full pipe
			}
		case streams.ChanControl:
			m, err := tunnel.DecodeControl(b)
			if err != nil {
				return err
			}
			if m.EOF {
				_ = st.CloseWrite() // the process may have ended already
			}
			if m.Resize != nil {
				_ = st.Resize(m.Resize[0], m.Resize[1]) // cosmetic
			}
		}
	}
}

// serveLogs sends a job's log; a customer of an older version gets it without places, by time.
func (p *Provider) serveLogs(ctx context.Context, l *leaseRun, a tunnel.LogsArgs, c *streams.FrameConn) error {
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
	end, err := p.access.Logs(ctx, l.key, a.From, a.Follow, send)
	if err != nil {
		return c.Write(streams.ChanControl, tunnel.Failed(err).Encode())
	}
	ctl := tunnel.Control{End: true}
	if a.Places {
		ctl.Log = &tunnel.LogEnd{Total: end.Total, Over: end.Over, Whole: end.Whole}
	}
	return c.Write(streams.ChanControl, ctl.Encode())
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

func (p *Provider) servePut(ctx context.Context, l *leaseRun, c *streams.FrameConn) error {
	l.filesMu.Lock()
	defer l.filesMu.Unlock()
	if l.inputsReady.Load() {
		return refused(c, market.Refuse(tunnel.CodeStaged, market.KindConflict, "inputs are staged"))
	}
	if err := l.waitCreated(ctx); err != nil {
		return refused(c, err)
	}
	fs, err := p.access.Files(ctx, l.key)
	if err != nil {
		return refused(c, err)
	}
	m, err := fs.PutInputs(ctx, l.incoming.count(c.Reader(streams.ChanIn)), l.order.InputBytes)
	if err != nil {
		l.incoming.whole.Store(false) // it has to come again
		return refused(c, err)
	}
	l.inputsReady.Store(true)
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

// serveGet sends the outputs as a tar. What can never be sent is output-lost; other failures keep their code, and the
// customer tries again.
func (p *Provider) serveGet(ctx context.Context, l *leaseRun, c *streams.FrameConn) error {
	l.filesMu.Lock()
	defer l.filesMu.Unlock()
	if s := l.actor.Lease().State; s < market.Closing {
		return c.Write(streams.ChanControl,
			tunnel.Failed(market.Refuse("conflict", market.KindConflict, "the job is "+s.String())).Encode())
	}
	fs, err := p.access.Files(ctx, l.key)
	var m spec.Manifest
	if err == nil {
		m, err = fs.GetOutputs(ctx, l.outputPaths(), c.Writer(streams.ChanOut))
	}
	if lostForGood(err) {
		err = market.Refuse("output-lost", market.KindNotFound, public(err))
	}
	if err != nil {
		p.log.Warn("Outputs were not sent", "lease", l.id, "error", err)
		return c.Write(streams.ChanControl, tunnel.Failed(err).Encode())
	}
	if err := c.Write(streams.ChanOut, nil); err != nil { // the end of the tar
		return err
	}
	return c.Write(streams.ChanControl, moved(m).Encode())
}
