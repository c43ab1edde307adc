package escrowtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Ledger is one account's handle on a Chain; it signs and pays fees as that account. Intents take effect inside Submit.
type Ledger struct {
	chain *Chain
	owner market.Address

	mu      sync.Mutex
	results map[string]entry
	changed chan struct{} // closed and replaced at each intent
}

type entry struct {
	channel market.ChannelID
	result  escrow.Result
	at      time.Time
}

var _ escrow.Ledger = (*Ledger)(nil)

// Ledger returns a handle that signs as owner.
func (c *Chain) Ledger(owner market.Address) *Ledger {
	return &Ledger{chain: c, owner: owner, results: map[string]entry{}, changed: make(chan struct{})}
}

// Address is the account that signs and pays fees.
func (l *Ledger) Address() market.Address { return l.owner }

// Head implements escrow.Ledger.
func (l *Ledger) Head(context.Context) (escrow.Head, error) {
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shown()
	final := s - min(s, finalDepth)
	if final > c.seen {
		c.seen, c.seenAt = final, time.Now()
	}
	return escrow.Head{
		Slot: s, Height: s, FinalisedHeight: final, Clock: time.Unix(c.now().Unix(), 0), ClusterTag: c.ClusterTag(),
		RentPerByte: c.opts.RentPerByte, FinalisedAge: time.Since(c.seenAt),
	}, c.down
}

// Channels implements escrow.Ledger.
func (l *Ledger) Channels(_ context.Context, ids []market.ChannelID, t escrow.Trust) ([]escrow.ChannelState, error) {
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return nil, c.down
	}
	out := make([]escrow.ChannelState, len(ids))
	for i, id := range ids {
		out[i] = c.view(id, t)
	}
	return out, nil
}

// Balance implements escrow.Ledger.
func (l *Ledger) Balance(_ context.Context, a market.Address) (market.Amount, error) {
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	return market.Amount(c.st.lamports[a]), c.down
}

// Submit implements escrow.Ledger: the effect or the failure is there when it returns.
func (l *Ledger) Submit(_ context.Context, in escrow.Intent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := in.Key()
	if e, ok := l.results[key]; ok && e.result.State != escrow.Failed {
		return nil
	}
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return c.down // the real ledger would keep it; here nothing is durable, so the caller repeats
	}
	if err := l.affordable(in); err != nil {
		return err
	}
	fee := fees(in)
	slot := c.slot()
	err := c.apply(l.owner, fee, func(e env, s state) error { return l.run(e, s, in) })
	r := escrow.Result{State: escrow.ConfirmedTx, Signature: fmt.Sprintf("test-%d-%s", slot, key), Slot: slot, Fee: fee}
	var pe *progErr
	switch {
	case err == nil:
	case errors.As(err, &pe) && l.done(in):
		r = escrow.Result{State: escrow.Final}
	case pe != nil && pe.text == "InsufficientFundsForFee":
		r = escrow.Result{State: escrow.Failed, Err: l.short(0, fee, in).Error()}
	case pe != nil:
		r = escrow.Result{State: escrow.Failed, Code: pe.code, Err: pe.Error()}
	default:
		r = escrow.Result{State: escrow.Failed, Err: err.Error()}
	}
	l.results[key] = entry{in.Channel, r, time.Now()}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// done reports whether the chain shows the effect of an intent that failed: the same rules as the real sender.
func (l *Ledger) done(in escrow.Intent) bool {
	cs := l.chain.view(in.Channel, escrow.Confirmed)
	switch in.Op {
	case escrow.OpTopUp:
		return in.Total > 0 && cs.Status != escrow.StatusGone && cs.Deposit >= in.Total
	case escrow.OpClaim:
		return cs.Status != escrow.StatusGone && cs.Settled >= in.Voucher.Amount && cs.Paid == cs.Settled
	case escrow.OpRecord:
		return cs.Status != escrow.StatusGone && cs.Settled >= in.Voucher.Amount
	case escrow.OpRequestClose:
		return cs.Status == escrow.StatusClosing || cs.Status == escrow.StatusSealed
	case escrow.OpFinish:
		return cs.Status == escrow.StatusGone || cs.Status == escrow.StatusSealed &&
			cs.Refunded == cs.Deposit-cs.Settled && cs.Paid == cs.Settled
	case escrow.OpReclaim:
		return cs.Status == escrow.StatusGone
	case escrow.OpPay:
		return cs.Paid == cs.Settled
	}
	return false
}

func fees(in escrow.Intent) uint64 {
	if in.Op == escrow.OpClaim || in.Op == escrow.OpRecord || in.Op == escrow.OpFinish && in.Release != nil {
		return 2 * escrow.FeePerSignature
	}
	return escrow.FeePerSignature
}

func (l *Ledger) short(keep, need uint64, in escrow.Intent) error {
	return &market.Error{
		Code: market.CodeFundsShort, Op: "submitting " + in.Op.String(), Kind: market.KindConflict,
		Detail: fmt.Sprintf("account %s holds %s SOL; this needs %s", l.owner,
			market.Amount(l.chain.st.lamports[l.owner]).SOL(), market.Amount(need+keep).SOL()),
		Hint: "send SOL to " + l.owner.String(),
	}
}

func (l *Ledger) affordable(in escrow.Intent) error {
	e := l.chain.env()
	need, keep := fees(in), e.rent(0)
	switch in.Op {
	case escrow.OpOpen:
		need += uint64(in.Amount+in.ClaimFee) + e.rent(escrow.ChannelLen)
	case escrow.OpTopUp:
		need += uint64(in.Amount)
	case escrow.OpTransfer:
		need, keep = need+uint64(in.Amount), 0
	default:
		return nil
	}
	if l.chain.st.lamports[l.owner] < need+keep {
		return l.short(keep, need, in)
	}
	return nil
}

// run is the transaction of an intent.
func (l *Ledger) run(e env, s state, in escrow.Intent) error {
	switch in.Op {
	case escrow.OpOpen:
		if in.ClaimFee > 0 {
			if err := s.move(l.owner, in.FeePayer, uint64(in.ClaimFee)); err != nil {
				return err
			}
		}
		return s.open(e, *in.Open, in.Amount)
	case escrow.OpTopUp:
		return s.topUp(in.Channel, l.owner, cmp.Or(in.Total, s.channels[in.Channel].Deposit+in.Amount))
	case escrow.OpClaim:
		if cs := s.channels[in.Channel]; cs.Settled >= in.Voucher.Amount && cs.Paid < cs.Settled {
			return s.payPayee(in.Channel) // recorded before, paid now
		}
		if err := s.record(e, in.Channel, *in.Voucher); err != nil {
			return err
		}
		return s.payPayee(in.Channel)
	case escrow.OpRecord:
		return s.record(e, in.Channel, *in.Voucher)
	case escrow.OpRequestClose:
		return s.requestClose(e, in.Channel, l.owner)
	case escrow.OpFinish:
		return l.finish(e, s, in)
	case escrow.OpPay:
		return s.payAll(append([]market.ChannelID{in.Channel}, in.Also...))
	case escrow.OpReclaim:
		return s.reclaim(e, in.Channel)
	case escrow.OpTransfer:
		amount := uint64(in.Amount)
		if in.All {
			amount = s.lamports[l.owner]
		}
		return s.move(l.owner, in.To, amount)
	}
	return fmt.Errorf("unknown op %d", in.Op)
}

// finish leaves the payee's leg out where the payee's account cannot take it, as the real sender does.
func (l *Ledger) finish(e env, s state, in escrow.Intent) error {
	cs, err := s.get(in.Channel)
	if err != nil {
		return err
	}
	switch {
	case cs.Status == escrow.StatusSealed:
	case in.Release != nil && cs.Payer == l.owner:
		err = s.release(e, in.Channel, l.owner, *in.Release)
	case in.Release != nil:
		err = s.consent(e, in.Channel, *in.Release)
	default:
		err = s.seal(e, in.Channel)
	}
	if err != nil {
		return err
	}
	cs = s.channels[in.Channel]
	if due := uint64(cs.Settled - cs.Paid); due == 0 || s.lamports[cs.PayeeDest]+due >= e.rent(0) {
		if err := s.payPayee(in.Channel); err != nil {
			return err
		}
	}
	return s.payPayer(in.Channel)
}

// Result implements escrow.Ledger; a confirmed intent is Final once its slot is.
func (l *Ledger) Result(_ context.Context, key string) (escrow.Result, bool, error) {
	l.mu.Lock()
	e, ok := l.results[key]
	l.mu.Unlock()
	return l.settle(e.result), ok, nil
}

func (l *Ledger) settle(r escrow.Result) escrow.Result {
	l.chain.mu.Lock()
	defer l.chain.mu.Unlock()
	if r.State == escrow.ConfirmedTx && l.chain.slot() >= r.Slot+finalDepth {
		r.State = escrow.Final
	}
	return r
}

// Probe implements escrow.Ledger.
func (l *Ledger) Probe(_ context.Context, v escrow.Signed) error {
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return c.down
	}
	err := c.st.clone().record(c.env(), v.Channel, v)
	var pe *progErr
	if err == nil || errors.As(err, &pe) && pe.code == escrow.CodeNotMonotonic {
		return nil
	}
	return &market.Error{
		Code: market.CodeVoucherUnredeemable, Op: "probing a voucher", Kind: market.KindInvalid,
		Detail: "the chain would refuse this voucher (" + err.Error() + ")",
	}
}
