package customer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/p2p/streams"
)

// releaseWait is how long a Release may take before the close is asked for on the chain; finishWait bounds the finish.
const (
	releaseWait = 60 * time.Second
	finishWait  = 90 * time.Second
	releasePoll = 300 * time.Millisecond
	askMost     = 5 * time.Second
	readAtOnce  = 100 // channels in one call
)

// keepRelease checks a Release against our own books and stores it with the channel.
func (c *Customer) keepRelease(ctx context.Context, provider market.NodeID, p streams.ReleasePush) error {
	rel, err := parseRelease(p.Bytes)
	if err != nil {
		return err
	}
	c.mu.Lock()
	ch := c.channels[p.Channel]
	c.mu.Unlock()
	if ch == nil {
		return fmt.Errorf("channel %s is not ours", p.Channel)
	}
	head, err := c.ledger.Head(ctx)
	if err != nil {
		return err
	}
	return c.enterBooks(ctx, ch, func(e *entry) (err error) {
		if e.Own.Provider != provider {
			return fmt.Errorf("channel %s is with another provider", p.Channel)
		}
		e.Own.Release = &rel
		e.Account, err = e.Account.TakeRelease(rel, e.Own.Terms.ReleaseKey, head.Clock)
		return err
	})
}

// finishChannel closes a channel without live leases: with the Release at once, else by asking the chain.
func (c *Customer) finishChannel(ctx context.Context, id market.ChannelID, r *orderRun) {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return
	}
	if c.expected(ch) {
		r.later(ctx, id, "another order uses the channel, its last one brings the refund")
		return
	}
	err := c.CloseChannel(ctx, id)
	switch {
	case ctx.Err() != nil:
	case market.CodeOf(err) == market.CodeLeaseLive:
		r.later(ctx, id, "another job uses the channel, its last one brings the refund")
	case err != nil:
		c.log.Warn("Channel was not closed", "channel", id, "error", err)
		r.later(ctx, id, err.Error())
	}
}

// settled writes what a finished channel paid into the orders that used it, to each its own share, and what came back
// into the newest.
func (c *Customer) settled(ctx context.Context, ch *channel) {
	a, row := ch.See()
	paid, back, sig, shares, owes := row.Paid, row.Returned, row.FinishSig, a.Leases, owes(a)
	users := c.users(ch.id)
	for i, u := range users {
		ev := market.Settled{Channel: ch.id, Lease: u.lease, Paid: paid, Tx: sig}
		if i < len(users)-1 {
			ev.Paid = min(shares[u.lease].Owed, paid) // what was only signed ahead is not paid
		} else {
			ev.Returned = back
		}
		paid -= ev.Paid
		if u.home {
			continue
		}
		detail := fmt.Sprintf("paid %s SOL", ev.Paid.SOL())
		if owes > 0 && ev.Paid > 0 {
			detail = fmt.Sprintf("owed %s SOL, which wait in the channel until the provider's account can be created",
				ev.Paid.SOL())
		}
		if i == len(users)-1 {
			detail += fmt.Sprintf(", returned %s SOL", back.SOL())
		}
		u.run.happens(ctx, ev, func(o *orderRow) {
			if homeOf(&o.Purchase, ch.id, u.lease) {
				o.Steps = append(o.Steps, Step{At: c.now(), Phase: "refund", Detail: detail})
			}
		})
	}
}

// user is an order's attempt whose money is in a channel; home: it was settled before.
type user struct {
	run   *orderRun
	lease market.LeaseID
	home  bool
}

// users are the attempts that have used a channel, in the order in which their orders were placed.
func (c *Customer) users(id market.ChannelID) (out []user) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, order := range c.order {
		r := c.runs[order]
		r.mu.Lock()
		for _, a := range r.row.Lost {
			if a.Channel == id {
				out = append(out, user{r, a.Lease, a.Home})
			}
		}
		if p := &r.row.Purchase; p.Channel == id {
			out = append(out, user{r, p.Lease, p.Home})
		}
		r.mu.Unlock()
	}
	return out
}

// homeOf reports that an attempt's channel is settled.
func homeOf(p *market.Purchase, id market.ChannelID, lease market.LeaseID) bool {
	for _, a := range p.Lost {
		if a.Channel == id && a.Lease == lease {
			return a.Home
		}
	}
	return p.Channel == id && p.Lease == lease && p.Home
}

// bringHome closes the order's channel, which may end without its money: that comes back by itself.
func (r *orderRun) bringHome(ctx context.Context, e market.BringHome) {
	r.c.finishChannel(ctx, e.Channel, r)
	if ctx.Err() == nil {
		r.happens(ctx, market.RefundWaits(e), nil) // if it is not settled
	}
}

// later notes that the order ends before its refund.
func (r *orderRun) later(ctx context.Context, id market.ChannelID, why string) {
	r.happens(ctx, market.RefundWaits{Channel: id}, func(o *orderRow) {
		o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: "refund", Detail: why})
	})
}

// CloseChannel finishes a channel: waits for or asks for the Release and submits (release, pay_payee, pay_payer) in one
// transaction. Without a Release within releaseWait it submits request_close and returns channel-closing with the
// deadline. Errors: not-found; lease-live.
func (c *Customer) CloseChannel(ctx context.Context, id market.ChannelID) error {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "close channel",
			Detail: id.String(),
			Hint:   "gpuai channel list"}
	}
	select {
	case ch.closing <- struct{}{}: // a second one finds what the first one did
		defer func() { <-ch.closing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if done, err := c.closedBefore(ctx, ch); done || err != nil {
		return err
	}
	rel, err := c.waitRelease(ctx, ch)
	switch {
	case err == nil:
	case ctx.Err() != nil, market.CodeOf(err) == market.CodeLeaseLive && ch.inUse():
		return err
	default:
		return c.closeAlone(ctx, ch)
	}
	in := escrow.Intent{Op: escrow.OpFinish, Channel: id, Nonce: uint64(rel.Expires), Release: rel}
	if err := c.ledger.Submit(ctx, in); err != nil {
		return err
	}
	return c.waitFinished(ctx, ch, in.Key())
}

// closedBefore reports that the channel was finished already, by us before a restart or at its deadline. Error:
// channel-closing while it waits for that deadline.
func (c *Customer) closedBefore(ctx context.Context, ch *channel) (bool, error) {
	if err := c.refresh(ctx, ch); err != nil {
		return false, nil // the chain does not answer: the usual way finds out
	}
	a := ch.account()
	phase, deadline := a.Phase, a.Deadline
	switch phase {
	case escrow.PhaseSealed, escrow.PhaseGone:
		c.settled(ctx, ch)
		return true, nil
	case escrow.PhaseClosing:
		return false, closingUntil(time.Unix(deadline, 0))
	}
	return false, nil
}

func closingUntil(due time.Time) error {
	return &market.Error{Code: market.CodeChannelClosing, Kind: market.KindConflict, Op: "close channel",
		Detail: "no release; refund due after " + due.UTC().Format(time.TimeOnly) + " UTC", Hint: "gpuai channel list"}
}

func errLive() error {
	return &market.Error{Code: market.CodeLeaseLive, Kind: market.KindConflict, Op: "close channel",
		Detail: "a job is paid from it", Hint: "gpuai ps"}
}

// inUse reports whether a lease of the channel lives.
func (ch *channel) inUse() bool {
	return ch.account().Live() > 0
}

func (c *Customer) waitRelease(ctx context.Context, ch *channel) (*escrow.SignedRelease, error) {
	deadline := time.Now().Add(releaseWait)
	if ch.alone.Load() {
		deadline = time.Now() // asked once
	}
	ask, wait := time.Now(), releasePoll
	for {
		if ch.inUse() { // also a lease that began while we waited: its money must not be asked back
			return nil, errLive()
		}
		row := ch.row()
		rel, provider := row.Release, row.Provider
		if rel != nil {
			// By the chain's clock, which judges it.
			if head, err := c.ledger.Head(ctx); err == nil && rel.Expires > head.Clock.Add(10*time.Second).Unix() {
				return rel, nil
			}
		}
		if !time.Now().Before(ask) {
			if err := c.askRelease(ctx, ch, provider); err != nil {
				c.log.Debug("Release was not given", "channel", ch.id, "error", err)
				if time.Now().After(deadline) {
					return nil, err
				}
			}
			ask, wait = time.Now().Add(wait), min(2*wait, askMost) // it may also come by itself
		}
		if err := await.Sleep(ctx, releasePoll); err != nil {
			return nil, err
		}
	}
}

func (c *Customer) askRelease(ctx context.Context, ch *channel, provider market.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn := c.live(provider) // a second session would end the one that pays other jobs there
	if conn == nil {
		var err error
		if conn, err = c.net.Vouchers(ctx, provider); err != nil {
			return err
		}
		defer conn.Close()
	}
	b, err := conn.ReleaseRequest(ctx, ch.id)
	if err != nil {
		return err
	}
	return c.keepRelease(ctx, provider, streams.ReleasePush{Channel: ch.id, Bytes: b})
}

// closeAlone asks the chain for the money back; the reclaim loop finishes it at the deadline.
func (c *Customer) closeAlone(ctx context.Context, ch *channel) error {
	live := false
	ch.Note(func(e *entry) { // in the order of entries: no lease begins on it while its money is asked back
		live = e.Account.Live() > 0
		ch.mu.Lock()
		ch.avoid = ch.avoid || !live
		ch.mu.Unlock()
	})
	if live {
		return errLive()
	}
	in := escrow.Intent{Op: escrow.OpRequestClose, Channel: ch.id}
	if err := c.ledger.Submit(ctx, in); err != nil {
		return err
	}
	return closingUntil(c.now().Add(ch.row().Terms.CloseDelay))
}

func (c *Customer) waitFinished(ctx context.Context, ch *channel, key string) error {
	deadline := time.Now().Add(finishWait)
	for {
		res, ok, err := c.ledger.Result(ctx, key)
		switch {
		case err == nil && ok && (res.State == escrow.ConfirmedTx || res.State == escrow.Final):
			ch.Note(func(e *entry) { e.Own.FinishSig, e.Own.FinishKey = res.Signature, key })
			if err := c.refresh(ctx, ch); err != nil {
				return err
			}
			c.settled(ctx, ch)
			return nil
		case err == nil && ok && res.State == escrow.Failed:
			return &market.Error{
				Code: market.CodeTransactionFailed, Kind: market.KindConflict, Op: "finish channel",
				Detail: fmt.Sprintf("%s (code %d); the deposit is where it was", res.Err, res.Code),
				Hint:   "gpuai channel list",
			}
		case time.Now().After(deadline):
			return &market.Error{Code: market.CodeTransactionPending, Kind: market.KindUnavailable,
				Op:   "finish channel",
				Hint: "gpuai channel list"}
		}
		if err := await.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// topUp adds to a channel whose live leases have 20 % of an hour left. The lease asks once for each deposit, by its own
// share and before its voucher may be stored, so this waits until the channel needs it, and tries again what fails
// after it was taken.
func (c *Customer) topUp(ctx context.Context, id market.ChannelID) error {
	c.mu.Lock()
	ch := c.channels[id]
	c.mu.Unlock()
	if ch == nil {
		return errors.New("no such channel")
	}
	for {
		hourly := c.hourly(id)
		a := ch.account()
		if add := a.TopUp(hourly); add > 0 {
			in := escrow.Intent{Op: escrow.OpTopUp, Channel: id, Nonce: uint64(a.Seen), Amount: add,
				Total: a.Seen + add}
			if err := c.ledger.Submit(ctx, in); err != nil {
				return err
			}
			if res, ok, err := c.ledger.Result(ctx, in.Key()); err == nil && ok && res.State == escrow.Failed {
				return fmt.Errorf("top up channel: %s (code %d)", res.Err, res.Code)
			}
		} else if a.Live() == 0 || a.Carries() || a.Phase >= escrow.PhaseClosing {
			return nil
		}
		if err := await.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// hourly is the price of an hour of the channel's live leases.
func (c *Customer) hourly(id market.ChannelID) (sum market.Amount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.runs {
		r.mu.Lock()
		if m := r.row.Lease; r.row.Channel == id && m != nil && (m.State.Live() || m.State == market.Silent) {
			if h, err := m.Terms.Rate.For(m.Terms.Devices, time.Hour); err == nil {
				sum += h
			}
		}
		r.mu.Unlock()
	}
	return sum
}

// chainLoop keeps channels at what the chain says, tells leases of closings and funds, finishes what is due, and takes
// rents back.
func (c *Customer) chainLoop(ctx context.Context) {
	for await.Sleep(ctx, c.cfg.ChainEvery) == nil {
		c.settleCosts(ctx)
		var list []*channel
		var ids []market.ChannelID
		c.mu.Lock()
		for id, ch := range c.channels {
			a, row := ch.See()
			// absent and never seen paid out: it may be the endpoint
			if a.Phase != escrow.PhaseGone || row.Paid+row.Returned == 0 {
				list, ids = append(list, ch), append(ids, id)
			}
		}
		c.mu.Unlock()
		for n := 0; n < len(ids); n += readAtOnce {
			end := min(n+readAtOnce, len(ids))
			c.readChannels(ctx, list[n:end], ids[n:end]) // what was not read is read in the next round
		}
	}
}

func (c *Customer) readChannels(ctx context.Context, list []*channel, ids []market.ChannelID) {
	head, err := c.ledger.Head(ctx)
	if err != nil {
		return
	}
	c.chain.Store(c.now().UnixNano())
	states, err := c.ledger.Channels(ctx, ids, escrow.Confirmed)
	if err != nil {
		return
	}
	for i, ch := range list {
		absent, err := c.unopened(ctx, ch, head)
		if errors.Join(err, c.finalise(ctx, ch), c.observe(ctx, ch, states[i], head)) == nil {
			c.afterRead(ctx, ch, head, absent)
		}
	}
}

// afterRead does what the payer's policy says about a channel that was just read.
func (c *Customer) afterRead(ctx context.Context, ch *channel, head escrow.Head, absent bool) {
	a, row := ch.See()
	n := escrow.PayerNeeds{Clock: head.Clock, Slot: head.Slot, OpenSlot: row.Terms.OpenSlot, Absent: absent,
		Release: row.Release}
	c.tellFunds(ctx, ch.id, a)
	if a.Phase == escrow.PhaseSealed && !ch.told.Swap(true) {
		c.settled(ctx, ch)
	}
	n.Hourly, n.Wanted = c.hourly(ch.id), ch.left.Load() || c.needed(ch)
	if at := ch.payAt.Load(); at != 0 {
		n.PaidAt = time.Unix(0, at)
	}
	var in escrow.Intent
	switch d := escrow.DecidePayer(&a, n, c.now()); d.Act {
	case escrow.PayerTopUp:
		in = escrow.Intent{Op: escrow.OpTopUp, Channel: ch.id, Nonce: uint64(a.Seen), Amount: d.Amount, Total: d.Total}
		if res, ok, err := c.ledger.Result(ctx, in.Key()); err == nil && ok && res.State == escrow.Failed {
			return // its lease tries again, and says so
		}
	case escrow.PayerFinish:
		in = escrow.Intent{Op: escrow.OpFinish, Channel: ch.id, Nonce: uint64(a.Deadline)}
		if d.Release != nil {
			in.Nonce, in.Release = uint64(d.Release.Expires), d.Release
		}
		if a.Phase != escrow.PhaseClosing { // an order may be about to use it: the close looks once more
			c.closeIdle(ctx, ch)
			return
		}
	case escrow.PayerAskRelease, escrow.PayerRequestClose:
		c.closeIdle(ctx, ch)
		return
	case escrow.PayerPay:
		c.payFirst(ctx, ch, head)
		return
	case escrow.PayerReclaim:
		in = escrow.Intent{Op: escrow.OpReclaim, Channel: ch.id}
	case escrow.PayerForget:
		if err := c.forget(ctx, ch); err != nil {
			c.log.Error("Channel that was never opened was not forgotten", "channel", ch.id, "error", err)
		}
		return
	default:
		return
	}
	if err := c.ledger.Submit(ctx, in); err != nil && ctx.Err() == nil {
		c.log.Debug("Channel step was not submitted", "channel", ch.id, "op", in.Op, "error", err)
	}
}

// tellFunds says to live leases how far their share can grow, so that they ask for a top-up in time.
func (c *Customer) tellFunds(ctx context.Context, id market.ChannelID, a escrow.Account) {
	c.mu.Lock()
	var live []*orderRun
	for _, r := range c.runs {
		r.mu.Lock()
		if r.row.Channel == id && r.row.Lease != nil && r.row.Lease.State.Live() && r.hire.at() != nil {
			live = append(live, r)
		}
		r.mu.Unlock()
	}
	c.mu.Unlock()
	for _, r := range live {
		share := a.Leases[r.snapshot().Lease.ID]
		others := a.PaidSum() - share.Paid
		r.hire.event(ctx, market.FundsSeen{LeaseMax: a.Seen - min(others, a.Seen)})
	}
}
