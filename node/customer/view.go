package customer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/tunnel"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

// View is an order as people see it. Reason is why it is over, empty before.
type View struct {
	ID       market.OrderID
	Request  Request
	Created  time.Time
	Provider market.NodeID
	Rate     market.Rate
	Lease    *market.Lease
	Attempts []market.Attempt // that providers have lost, before this one
	Files    Files
	Log      *joblog.State // how the node's own copy of the log stands; nil: there is none
	buys     market.Purchase
	Progress
	Money
	Papers
	market.Reason
}

// Progress is how far an order has come. Done of Total bytes are through in the phase, or Total is 0.
type Progress struct {
	Standing     string
	ReadyAt      time.Time
	Steps        []Step
	Phase        string // of the preparation
	Done, Total  uint64
	OutputsReady bool // they are in the spool
	Waits        string
	WaitsUntil   time.Time // it searches until then; zero: some minutes
}

// Money is what an order has put into its channels, and what became of it.
type Money struct {
	Channel                 market.ChannelID
	Deposit, Paid, Returned market.Amount
	Signed                  market.Amount // voucher share, with what is signed ahead
	Costs                   Costs
	Finished                bool          // all of it is home
	RefundLater             bool          // over, but its channel goes on
	PayeeWaits              market.Amount // of Paid: settled, while the provider's account cannot take it yet
	RefundDue               time.Time     // its close delay ends; zero: the channel does not close without the provider
	FinishSig               string
}

// Papers are what the parties have signed; nil: it is not here.
type Papers struct {
	RawLease, Receipt   []byte
	Outcome, OwnOutcome []byte
	BothSigned          bool
	OutputsRoot         [32]byte
}

// addLost adds the earlier attempts to the sums. The order is finished once the money of all of them is home.
func (v *View) addLost() {
	for _, a := range v.Attempts {
		v.Paid, v.Returned, v.Deposit = v.Paid+a.Paid, v.Returned+a.Returned, v.Deposit+a.Deposit
		if !a.Home {
			v.RefundLater, v.Finished = v.RefundLater || v.Finished || v.Channel == (market.ChannelID{}), false
		}
	}
}

// Cost is what the order's job has cost: due by the meter while the channel lives, then what the ledger has settled.
func (v View) Cost() market.Amount {
	switch {
	case v.Finished:
		return v.Paid
	case v.Lease == nil:
		return v.Before()
	}
	return v.Before() + v.Lease.Cost()
}

// Before is what the earlier attempts cost, as far as it is known: what was settled, else what they are owed.
func (v View) Before() market.Amount { return market.Purchase{Lost: v.Attempts}.Cost() }

func (r *orderRun) view() View {
	r.mu.Lock()
	o := r.row
	v := View{
		ID: o.ID, Request: o.Request, Created: o.Created, Provider: o.Provider, Rate: o.Rate, Lease: o.Lease,
		Attempts: o.Lost, Files: o.Files, Log: o.Log, buys: o.Purchase,
		Progress: Progress{Standing: o.Standing(), ReadyAt: o.ReadyAt, Steps: append([]Step(nil), o.Steps...),
			Waits: o.Purchase.Waits, WaitsUntil: o.WaitsUntil()},
		Money: Money{Channel: o.Channel, Paid: o.Purchase.Paid, Returned: o.Purchase.Returned, Finished: o.Home,
			RefundLater: o.Later, FinishSig: o.Tx},
		Papers: Papers{RawLease: o.Raw, Receipt: o.Receipt, Outcome: o.Outcome, OwnOutcome: o.OwnOutcome,
			BothSigned: o.Outcome != nil && o.OwnOutcome != nil},
	}
	r.mu.Unlock()
	v.Phase, v.Done, v.Total = r.hire.preparation()
	l := r.log.opened()
	v.addLost()
	if o.Ended() {
		v.Reason = o.End
	}
	v.Costs = buyers{r.c}.costsOf(context.Background(), &o)
	if v.Log == nil && l != nil {
		s := l.State()
		v.Log = &s
	}
	// what has left; the provider only knows that it waits
	if size := r.files.sent.size.Load(); v.Phase == "inputs" && size > 0 {
		v.Done, v.Total = r.files.sent.bytes.Load(), size
	}
	if o.Outcome != nil {
		if out, _, err := wire.OpenOutcome(o.Outcome, r.c.cfg.Network); err == nil {
			v.OutputsRoot = out.OutputsRoot
		}
	}
	_, err := os.Stat(r.c.Spool.Outputs(o.ID))
	v.OutputsReady = err == nil
	if o.Lease != nil {
		v.Signed = o.Lease.Signed
	}
	if ch, ok := r.c.Channel(o.Channel); ok {
		a := ch.Account
		v.Deposit += a.Seen
		v.PayeeWaits = min(ch.Owes, v.Paid)
		if a.Phase == escrow.PhaseClosing && a.Deadline > 0 {
			v.RefundDue = time.Unix(a.Deadline, 0)
		}
	} else {
		v.Deposit += o.Purchase.Deposit
	}
	return v
}

// giveUp tells the lease that its user waits no longer.
func (h *hire) giveUp(ctx context.Context) {
	h.event(ctx, market.StopAsked{By: market.CustomerSide, Code: market.CodeStopped})
}

func (c *Customer) tunnelTo(ctx context.Context, ref string, kind streams.TunnelKind, args any) (*streams.FrameConn,
	error) {
	r, err := c.find(ref)
	if err != nil {
		return nil, err
	}
	o := r.snapshot()
	if o.Lease == nil {
		return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "reach job",
			Detail: "the order has no lease", Hint: "gpuai show " + o.ID.String()}
	}
	b, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	fc, err := c.net.Tunnel(ctx, o.Provider, streams.TunnelOpen{Lease: o.Lease.ID, Kind: kind, Args: b})
	return fc, r.snapshot().unheard(ctx, err)
}

// Exec runs a command beside the job and returns its exit code; resized tells later sizes of its terminal, nil: none
// come.
func (c *Customer) Exec(ctx context.Context, ref string, args tunnel.ExecArgs, resized <-chan [2]uint16,
	stdin io.Reader, out func(stream uint8, b []byte) error) (int, error) {
	r, err := c.find(ref)
	if err == nil {
		err = r.snapshot().runs("exec")
	}
	if err != nil {
		return 0, err
	}
	fc, err := c.tunnelTo(ctx, ref, streams.TunnelExec, args)
	if err != nil {
		return 0, err
	}
	defer fc.Close()
	defer r.hire.uses()()
	stop := context.AfterFunc(ctx, fc.Abort)
	defer stop()
	over, end := context.WithCancel(ctx)
	defer end()
	c.wg.Go(func() {
		for {
			select {
			case <-over.Done():
				return
			case s := <-resized:
				_ = fc.Write(streams.ChanControl, tunnel.Control{Resize: &s}.Encode()) // cosmetic
			}
		}
	})
	c.wg.Go(func() { // ends with the tunnel or the reader
		if stdin != nil {
			_, _ = io.Copy(fc.Writer(streams.ChanIn), stdin) // the exec may end before its input does
		}
		_ = fc.Write(streams.ChanControl, tunnel.Control{EOF: true}.Encode())
	})
	for {
		ch, b, err := fc.Read()
		if err != nil {
			return 0, r.snapshot().unheard(ctx, errors.Join(err, ctx.Err()))
		}
		if ch == streams.ChanControl {
			m, err := tunnel.DecodeControl(b)
			if err != nil {
				return 0, err
			}
			if m.Exit != nil {
				return *m.Exit, nil
			}
			return 0, r.snapshot().unheard(ctx, cmp.Or(m.Err(), errors.New("the exec ended without an exit code")))
		}
		stream := uint8(1)
		if ch == streams.ChanErr {
			stream = 2
		}
		if err := out(stream, b); err != nil {
			return 0, err
		}
	}
}

// ID is this customer's node.
func (c *Customer) ID() market.NodeID { return c.cfg.ID }
