package purse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// finishWithin bounds how long whoever closes a channel watches: a minute for the Release, and the transaction.
const finishWithin = 150 * time.Second

// askWithin bounds one question for a Release.
const askWithin = 10 * time.Second

// ErrShared means that another order is about to use the channel.
var ErrShared = errors.New("another order uses the channel")

func failedTx(res escrow.Result) error {
	return &market.Error{
		Code: market.CodeTransactionFailed, Kind: market.KindConflict, Op: "move money of channel",
		Detail: fmt.Sprintf("%s (code %d); the deposit is where it was", res.Err, res.Code),
		Hint:   "gpuai channel list",
	}
}

func closingUntil(due time.Time) error {
	return &market.Error{Code: market.CodeChannelClosing, Kind: market.KindConflict, Op: "close channel",
		Detail: "no release; refund due after " + due.UTC().Format(time.TimeOnly) + " UTC", Hint: "gpuai channel list"}
}

// ErrLive says that a job is paid from a channel that is to be closed.
func ErrLive() error {
	return &market.Error{Code: market.CodeLeaseLive, Kind: market.KindConflict, Op: "close channel",
		Detail: "a job is paid from it", Hint: "gpuai ps"}
}

// CloseChannel stores that its user wants a channel closed, and watches until it is. What begins to close goes on
// without the caller, and after a restart. Errors: not-found; lease-live; channel-closing with the deadline, if the
// provider does not consent; transaction-failed; transaction-pending.
func (k *keeper) CloseChannel(ctx context.Context, id market.ChannelID) error {
	ch := k.Of(id)
	if ch == nil {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "close channel",
			Detail: id.String(), Hint: "gpuai channel list"}
	}
	err := ch.enter(ctx, func(e *entry) error {
		switch {
		case e.Account.Live() > 0:
			return ErrLive()
		case e.Account.Phase < escrow.PhaseSealed && e.Own.Close.IsZero():
			e.Own.Close = k.now()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.watch(ctx, ch, true)
}

// Bring watches a channel that its order has left until its money is home. Errors: ErrShared; as CloseChannel's.
func (k *keeper) Bring(ctx context.Context, id market.ChannelID) error {
	ch := k.Of(id)
	if ch == nil {
		return nil
	}
	set := func(left bool) {
		ch.mu.Lock()
		ch.pursuit.left = left
		ch.mu.Unlock()
	}
	set(true)
	defer set(false) // the others' needs count again
	return k.watch(ctx, ch, false)
}

// watch waits for the end of a channel that is to be closed.
func (k *keeper) watch(ctx context.Context, ch *Channel, byHand bool) error {
	late, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	faults, _ := ch.failed(-1)
	news := ch.news.Next()
	k.look(ch)
	for {
		a := ch.Account()
		switch _, fault := ch.failed(faults); {
		case a.Phase == escrow.PhaseSealed && ch.told.Load(), a.Phase >= escrow.PhaseGone:
			k.settled(ctx, ch, true)
			return nil
		case a.Phase == escrow.PhaseClosing:
			return closingUntil(time.Unix(a.Deadline, 0))
		case a.Live() > 0:
			return ErrLive()
		case !byHand && k.Expected(ch.id):
			return ErrShared
		case fault != nil:
			return fault
		}
		if err := soon(ctx, late, news, "finish channel"); err != nil {
			return err
		}
		news = ch.news.Next()
	}
}

// Expected reports that an order is about to use a channel: one has its promise, stands in line at its provider, or
// waits until that has a device. The channel is left open for it, and closed once no order needs it.
func (k *keeper) Expected(id market.ChannelID) bool {
	ch := k.Of(id)
	if ch == nil {
		return false
	}
	ch.mu.Lock()
	promised := len(ch.promised)
	ch.mu.Unlock()
	provider := ch.Row().Provider
	_, line := k.desks.deskOf(provider).waiting()
	return promised+line > 0 || k.orders.Needs(id, provider, true)
}

// Hasten asks a provider that is back for its Release, so that the money need not wait for the end of the close delay.
func (k *keeper) Hasten(id market.ChannelID) {
	ch := k.Of(id)
	if ch == nil || ch.Account().Live() > 0 {
		return
	}
	ch.mu.Lock()
	ch.pursuit.back, ch.pursuit.asked = k.now(), 0
	ch.mu.Unlock()
	k.look(ch)
}

// KeepRelease checks a provider's Release against our own books and stores it with the channel. Errors: *market.Refusal
// release-unfit; the ledger's; the store's.
func (k *keeper) KeepRelease(ctx context.Context, provider market.NodeID, id market.ChannelID, b [114]byte) error {
	rel, err := escrow.ParseRelease(b[:])
	if err != nil {
		return err
	}
	ch := k.Of(id)
	if ch == nil {
		return fmt.Errorf("channel %s is not ours", id)
	}
	head, err := k.ledger.Head(ctx)
	if err != nil {
		return err
	}
	defer k.look(ch)
	return ch.enter(ctx, func(e *entry) (err error) {
		if e.Own.Provider != provider {
			return fmt.Errorf("channel %s is with another provider", id)
		}
		if e.Account, err = e.Account.TakeRelease(rel, e.Own.Terms.ReleaseKey, head.Clock); err == nil {
			e.Own.Release = &rel
		}
		return err
	})
}

// TopUp returns once a channel carries what its live leases ask for. The lease asks once for each deposit, by its own
// share and before its voucher may be stored: until then nothing is due. Errors: no such channel; what keeps the money
// from coming.
func (k *keeper) TopUp(ctx context.Context, id market.ChannelID) error {
	ch := k.Of(id)
	if ch == nil {
		return errors.New("no such channel")
	}
	type sums struct{ seen, signed market.Amount }
	var was sums
	faults, _ := ch.failed(-1)
	for {
		news := ch.news.Next()
		a := ch.Account()
		short := a.TopUp(k.orders.Hourly(id)) > 0
		if !short && (a.Live() == 0 || a.Carries() || a.Phase >= escrow.PhaseClosing) {
			return nil
		}
		if _, err := ch.failed(faults); err != nil {
			return fmt.Errorf("top up channel: %w", err)
		}
		if now := (sums{a.Seen, a.PaidSum()}); short && now != was {
			was = now
			k.look(ch)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}
