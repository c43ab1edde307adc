package solana

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// final is the newest finalised block as one answer tells it: its slot and its height.
type final struct {
	Slot   uint64 `json:"absoluteSlot"`
	Height uint64 `json:"blockHeight"`
}

// finalised reads the newest finalised block of one endpoint. One answer has both numbers: of two answers each may come
// from another machine.
func finalised(ctx context.Context, one caller) (f final, err error) {
	if err := one(ctx, &f, "getEpochInfo", map[string]any{"commitment": "finalized"}); err != nil {
		return f, fmt.Errorf("reading the finalised block: %w", err)
	}
	if f.Height > f.Slot {
		return f, fmt.Errorf("reading the finalised block: %w: height %d above slot %d", escrow.ErrMalformed, f.Height,
			f.Slot)
	}
	return f, nil
}

// sighting is what one endpoint knows of a signed transaction. Neither status nor done: it is not on the chain and
// cannot come there any more.
type sighting struct {
	status *status // the chain knows the transaction
	done   bool    // it does not, but the finalised accounts show the effect
}

// movesMoney are the ops whose repeat nothing on the chain made harmless when they were designed: they expire by the
// word of every endpoint. A repeat of the others does nothing, so one endpoint is enough: a Record must not wait for an
// endpoint that is down.
func movesMoney(op escrow.Op) bool {
	return op == escrow.OpOpen || op == escrow.OpTopUp || op == escrow.OpTransfer
}

// errNotProven means that a transaction may still be on the chain: it is not signed again.
var errNotProven = errors.New("not proven")

// look asks one endpoint about a record whose last valid height is over. An endpoint is often many machines that are
// not equally far: what says "absent" must be of a slot at or after the finalised one whose height passed the last
// valid one. The status cache of a machine may be lost and its history may have a hole, so for what moves money the
// finalised accounts are compared as well. Error: no proof either way.
func (l *Ledger) look(ctx context.Context, one caller, r record) (s sighting, err error) {
	f, err := finalised(ctx, one)
	if err != nil {
		return s, err
	}
	if f.Height <= r.LastValid {
		return s, fmt.Errorf("%w: finalised height %d, valid until %d", errNotProven, f.Height, r.LastValid)
	}
	seen, slot, err := statuses(ctx, one, []record{r}, true)
	if err != nil {
		return s, err
	}
	if seen[0] != nil {
		return sighting{status: seen[0]}, nil
	}
	if slot < f.Slot {
		return s, fmt.Errorf("%w: statuses of slot %d, needed %d", errNotProven, slot, f.Slot)
	}
	key, done := l.effect(r)
	if done == nil {
		return s, nil
	}
	accs, slot, err := accountsOf(ctx, one, []string{key}, escrow.Finalised)
	if err != nil {
		return s, err
	}
	if slot < f.Slot {
		return s, fmt.Errorf("%w: accounts of slot %d, needed %d", errNotProven, slot, f.Slot)
	}
	s.done, err = done(accs[0])
	return s, err
}

// effect names the account that shows whether a record's transaction took effect, and how; nil: nothing shows it.
func (l *Ledger) effect(r record) (key string, done func(*account) (bool, error)) {
	switch r.Intent.Op {
	case escrow.OpOpen, escrow.OpTopUp:
		return r.Intent.Channel.String(), func(a *account) (bool, error) {
			cs, err := channelIn(a, l.cfg.Program)
			return err == nil && cs.Status != escrow.StatusGone &&
				(r.Intent.Op == escrow.OpOpen || cs.Deposit >= r.Total), err
		}
	case escrow.OpTransfer:
		if r.Seed == "" {
			return "", nil
		}
		return l.ticket(r).String(), func(a *account) (bool, error) {
			there := a != nil && a.Lamports > 0
			return there != r.Moving, nil // making the ticket is done when it is there, using it when it is gone
		}
	}
	return "", nil
}

// prove finds out what became of a record that one endpoint takes for expired. absent: on no endpoint that counts, for
// good. Errors: errNotProven.
func (l *Ledger) prove(ctx context.Context, r record) (s sighting, absent bool, err error) {
	found := make([]sighting, len(l.rpc.urls))
	errs := l.rpc.each(func(i int, one caller) (err error) {
		found[i], err = l.look(ctx, one, r)
		return err
	})
	for i, f := range found {
		if errs[i] == nil && (f.status != nil || f.done) {
			return f, false, nil
		}
	}
	if movesMoney(r.Intent.Op) {
		err = errors.Join(errs...)
	} else if !slices.Contains(errs, nil) {
		err = errors.Join(errs...)
	}
	if err != nil {
		return s, false, errors.Join(errNotProven, err)
	}
	return s, true, nil
}

// expire decides about a record that the asked endpoint does not know and whose last valid height is over there.
func (l *Ledger) expire(ctx context.Context, r record) record {
	s, absent, err := l.prove(ctx, r)
	switch {
	case err != nil:
		if !l.told(r.Result.Signature) {
			l.log.Warn("Outcome of a transaction is not proven, it is not signed again", "intent", r.Intent.Key(),
				"error", err)
		}
	case s.status != nil:
		return l.advance(r, s.status)
	case s.done:
		return took(r)
	case absent && r.Intent.Op == escrow.OpTransfer && r.Seed == "":
		return fail(r, 0, "the chain did not take it in time; look at the account before you repeat it")
	case absent:
		r.Result.State = escrow.Expired
		r.Tries++
	}
	return r
}

// took is a record whose effect the finalised accounts show, though its status is lost.
func took(r record) record {
	if r.Intent.Op == escrow.OpTransfer && !r.Moving {
		return ticketed(r)
	}
	if r.Back {
		return fail(r, r.Result.Code, r.Why)
	}
	return finish(r)
}

// told reports whether a signature was named in a warning before: one line per transaction.
func (l *Ledger) told(signature string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.warned == signature {
		return true
	}
	l.warned = signature
	return false
}

// shown reads what the chain shows of a Channel's intent before it is built: done when the finalised view has the
// effect too, errWait when only the confirmed one has it.
func (l *Ledger) shown(ctx context.Context, id market.ChannelID, has func(escrow.ChannelState) bool) error {
	states, err := l.Channels(ctx, []market.ChannelID{id}, escrow.Finalised)
	if err != nil {
		return err
	}
	if has(states[0]) {
		return errDone
	}
	return errWait
}

// youngFor is how long a Channel that is not seen may only be too young for the machine that was asked.
const youngFor = time.Minute

// gone confirms that the Channel of an intent does not exist, which one machine that is behind cannot say: every
// endpoint, in a finalised view that is not older than its own finalised block, and not of an intent that is younger
// than the chain's finality. Errors: errWait, errNotProven.
func (l *Ledger) gone(ctx context.Context, r *record) error {
	if in := r.Intent; in.Op != escrow.OpFinish && in.Op != escrow.OpReclaim && time.Since(r.At) < youngFor {
		return errWait
	}
	there := errors.New("it is there")
	errs := l.rpc.each(func(_ int, one caller) error {
		f, err := finalised(ctx, one)
		if err != nil {
			return err
		}
		accs, slot, err := accountsOf(ctx, one, []string{r.Intent.Channel.String()}, escrow.Finalised)
		switch {
		case err != nil:
			return err
		case slot < f.Slot:
			return fmt.Errorf("%w: accounts of slot %d, needed %d", errNotProven, slot, f.Slot)
		case accs[0] != nil:
			return there
		}
		return nil
	})
	err := errors.Join(errs...)
	if errors.Is(err, there) {
		return errWait
	}
	if err != nil {
		return unreachable("looking for a channel", err)
	}
	return nil
}
