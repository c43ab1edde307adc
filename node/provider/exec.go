package provider

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
)

// openExec runs a command in the job, for as long as its caller stays.
func openExec(l *leaseRun, args []byte) (serveFunc, error) {
	var a tunnel.ExecArgs
	if err := json.Unmarshal(args, &a); err != nil || len(a.Argv) == 0 {
		return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, "exec arguments")
	}
	switch s := l.actor.Lease().State; {
	case s == market.Paused:
		return nil, market.Refuse(market.CodePaused, market.KindUnavailable, "the job is "+s.String())
	case s < market.Running:
		return nil, market.Refuse(market.CodeNotReady, market.KindUnavailable, "the job is "+s.String())
	case s != market.Running:
		return nil, market.Refuse(market.CodeJobEnded, market.KindConflict, "the job is "+s.String())
	}
	return func(ctx context.Context, c *streams.FrameConn) error {
		st, err := l.d.access.Exec(ctx, l.key, job.ExecSpec{Argv: a.Argv, TTY: a.TTY, Cols: a.Cols, Rows: a.Rows,
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
		stop := context.AfterFunc(gctx, func() { _ = st.Close() })
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
			_ = st.Close() // input that the engine no longer takes would block here
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
