package solana

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

const (
	resendEvery  = 2 * time.Second
	keepEnded    = 24 * time.Hour
	tidyEvery    = time.Hour // looks for ended intents whose time is over
	statusesCall = 256
)

// errJournal marks a store that does not take records: nothing may be sent then.
var errJournal = errors.New("journal failed")

// record is the durable state of one intent.
type record struct {
	Intent    escrow.Intent `json:"intent"`
	Result    escrow.Result `json:"result"`
	Tx        []byte        `json:"tx,omitempty"` // stored before the first send
	LastValid uint64        `json:"last_valid,omitempty"`
	Tries     int           `json:"tries,omitempty"`
	SkipPayee bool          `json:"skip_payee,omitempty"`
	At        time.Time     `json:"at"`
	Again     time.Time     `json:"again,omitzero"` // when it was last signed after an expiry
	Ended     time.Time     `json:"ended,omitzero"`

	// OpTopUp: the deposit that is wanted, fixed before the first signature
	Total market.Amount `json:"total,omitempty"`

	// OpTransfer, see transfer.go. No seed: one transaction, never signed again.
	Seed   string        `json:"seed,omitempty"`
	Ticket market.Amount `json:"ticket,omitempty"` // lamports in it
	Moving bool          `json:"moving,omitempty"` // the ticket is made
	Signed bool          `json:"signed,omitempty"` // Tx uses the ticket
	Until  uint64        `json:"until,omitempty"`  // height up to which another ticket transaction may come
	Fees   uint64        `json:"fees,omitempty"`   // of the ticket's transaction
	Back   bool          `json:"back,omitempty"`   // the transfer cannot be made, the ticket's lamports return
	Why    string        `json:"why,omitempty"`

	lastSend time.Time
	refused  int       // times in a row that it could not be signed
	after    time.Time // not looked at before
}

// store writes r to the journal.
func (l *Ledger) store(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding intent %s: %w", r.Intent.Key(), err)
	}
	if err := l.journal.Put(r.Intent.Key(), b); err != nil {
		return fmt.Errorf("%w: storing intent %s: %w", errJournal, r.Intent.Key(), err)
	}
	return nil
}

// commit stores a changed copy of a record, makes it current and tells watchers.
func (l *Ledger) commit(r record) error {
	if err := l.store(&r); err != nil {
		return err
	}
	key := r.Intent.Key()
	l.mu.Lock()
	l.recs[key] = &r
	subs := slices.Collect(maps.Keys(l.subs))
	l.mu.Unlock()
	for _, s := range subs {
		s.add(&r)
	}
	return nil
}

// Serve drives all intents until ctx ends; it returns nil then. Run it once. A journal that fails ends it with that
// error: nothing may be sent that is not stored. Without an open intent it sleeps until Submit wakes it.
func (l *Ledger) Serve(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for failing := false; ; {
		began := time.Now()
		err := l.step(ctx)
		if errors.Is(err, errJournal) && ctx.Err() == nil {
			return err
		}
		if err != nil && !failing && ctx.Err() == nil {
			l.log.Warn("Transactions are not driven", "code", market.CodeChainUnreachable, "error",
				err) // once per outage
		}
		failing = err != nil
		rest := l.cfg.Step - time.Since(began)
		if l.idle() {
			rest = tidyEvery
		}
		t.Reset(max(rest, 0))
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-t.C:
		}
	}
}

// idle: every intent has ended.
func (l *Ledger) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		if !r.Result.State.Ended() {
			return false
		}
	}
	return true
}

// step moves every intent as far as it goes now; one that cannot go on holds up no other. Errors: chain-unreachable and
// chain-disagrees (retried), the journal's.
func (l *Ledger) step(ctx context.Context) error {
	work := l.work()
	if len(work) == 0 {
		return nil
	}
	if err := l.checkGenesis(ctx); err != nil {
		return err
	}
	var errs []error
	silent := 0
	for i, r := range work {
		if s := r.Result.State; s != escrow.Planned && s != escrow.Expired || time.Now().Before(r.after) ||
			silent >= maxSilent {
			continue
		}
		next, err := l.sign(ctx, r)
		if err != nil {
			if errors.Is(err, errSilent) {
				silent++
			}
			if !errors.Is(err, errWait) {
				errs = append(errs, fmt.Errorf("intent %s: %w", r.Intent.Key(), err))
			}
			l.later(r, err)
			continue
		}
		next.refused = 0
		if err := l.commit(next); err != nil {
			return err
		}
		work[i] = next
	}
	for _, r := range work {
		if s := r.Result.State; (s == escrow.SignedTx || s == escrow.Sent) && time.Since(r.lastSend) >= resendEvery {
			if err := l.send(ctx, r); err != nil {
				return err
			}
		}
	}
	return errors.Join(append(errs, l.poll(ctx))...)
}

// maxSilent is how many intents of one step may find no endpoint that answers: the rest would wait as long for the
// same.
const maxSilent = 2

// maxRest bounds how long an intent that an endpoint refuses is left alone.
const maxRest = 30 * time.Second

// errWait means that the chain has to go on first: nothing is wrong.
var errWait = errors.New("waiting for the chain")

// later puts off an intent that could not be signed: at once for the first time, then longer each time.
func (l *Ledger) later(r record, err error) {
	if errors.Is(err, errWait) {
		r.after = time.Now().Add(l.cfg.Step)
	} else if r.refused++; r.refused > 1 {
		r.after = time.Now().Add(min(l.cfg.Step<<min(r.refused-2, 16), maxRest))
	}
	l.mu.Lock()
	l.recs[r.Intent.Key()] = &r
	l.mu.Unlock()
}

// urgent sorts what would be lost by waiting first: a Record or claim of a closing Channel, then ends of Channels, then
// what costs money.
func urgent(op escrow.Op) int {
	switch op {
	case escrow.OpRecord, escrow.OpClaim:
		return 0
	case escrow.OpFinish, escrow.OpRequestClose, escrow.OpReclaim:
		return 1
	}
	return 2
}

// work returns copies of the open intents, the urgent before the others, then the oldest first, and deletes ended ones
// whose time is over.
func (l *Ledger) work() (out []record) {
	var old []string
	l.mu.Lock()
	for key, r := range l.recs {
		if !r.Result.State.Ended() {
			out = append(out, *r)
		} else if r.forgotten() {
			old = append(old, key)
		}
	}
	l.mu.Unlock()
	for _, key := range old {
		l.forget(key)
	}
	slices.SortFunc(out, func(a, b record) int {
		return cmp.Or(cmp.Compare(urgent(a.Intent.Op), urgent(b.Intent.Op)), a.At.Compare(b.At))
	})
	return out
}

func (r *record) forgotten() bool { return r.Result.State.Ended() && time.Since(r.Ended) > keepEnded }

// forget removes a record that ended long ago, unless it was just asked for again.
func (l *Ledger) forget(key string) {
	l.turn <- struct{}{} // is free within a sync of the journal
	defer func() { <-l.turn }()
	l.mu.Lock()
	r := l.recs[key]
	l.mu.Unlock()
	if r == nil || !r.forgotten() {
		return
	}
	if err := l.journal.Delete(key); err != nil {
		l.log.Warn("deleting an ended intent", "intent", key, "err", err)
		return
	}
	l.mu.Lock()
	delete(l.recs, key)
	l.mu.Unlock()
}

// fail and finish end a record.
func fail(r record, code uint32, why string) record {
	r.Result.State, r.Result.Code, r.Result.Err, r.Ended = escrow.Failed, code, why, time.Now()
	return r
}

func finish(r record) record {
	r.Result.State, r.Result.Code, r.Result.Err, r.Ended = escrow.Final, 0, "", time.Now()
	return r
}

// sign builds, simulates and signs an intent with a fresh blockhash. The error is only ever "ask again later", errWait:
// soon.
func (l *Ledger) sign(ctx context.Context, r record) (record, error) {
	if r.Result.State == escrow.Expired && movesMoney(r.Intent.Op) {
		if next, again, err := l.again(ctx, r); !again || err != nil {
			return next, err
		}
		r.Again = time.Now()
	}
	if r.Intent.Op == escrow.OpTransfer {
		return l.signTransfer(ctx, r)
	}
	b, err := l.build(ctx, &r)
	switch {
	case errors.Is(err, errDone):
		if r.Result.State == escrow.Expired { // another's transaction did it, ours has never landed
			r.Result.Fee = 0
		}
		return finish(r), nil
	case errors.Is(err, errWait), errors.Is(err, escrow.ErrUnreachable):
		return r, err
	case err != nil:
		return fail(r, 0, err.Error()), nil
	}
	hash, lastValid, err := l.latest(ctx)
	if err != nil {
		return r, err
	}
	raw, _, err := compile(l.signer, hash, append(budgetIx(simUnits, 0), b.ixs...))
	if err != nil {
		return fail(r, 0, err.Error()), nil
	}
	sim, err := l.simulate(ctx, raw)
	if err != nil {
		return r, err
	}
	if sim.failed && r.Intent.Op == escrow.OpOpen && sim.failure.Code == escrow.CodeSlotWindow &&
		time.Since(r.At) < behindFor {
		return r, unreachable("simulating", errors.New("the endpoint has not reached the slot of the open yet"))
	}
	if sim.failed {
		return l.failed(r, sim.failure), nil
	}
	units := max(sim.units+sim.units/10+300, leastUnits[r.Intent.Op])
	price := l.price(ctx, b.writable, units, r.Tries)
	return l.signed(r, hash, lastValid, b.sigs, units, price, b.ixs)
}

// behindFor bounds how long a machine behind an endpoint may lag the one that named the slot of an open.
const behindFor = 2 * time.Minute

// again decides about signing an expired intent that moves money once more: the finalised chain is compared first, then
// it must be affordable and within the daily cap like a new one.
func (l *Ledger) again(ctx context.Context, r record) (next record, again bool, err error) {
	s, absent, err := l.prove(ctx, r)
	switch {
	case err != nil:
		return r, false, err
	case s.status != nil:
		r.Result.State = escrow.Sent
		return l.advance(r, s.status), false, nil
	case s.done:
		return took(r), false, nil
	case !absent || r.Intent.Op == escrow.OpTransfer && r.Seed == "":
		return fail(r, 0, "the chain did not take it in time; look at the account before you repeat it"), false, nil
	case r.Moving:
		return r, true, nil // its money is set aside: the ticket, and what was there when it was made
	}
	err = l.affordable(ctx, r.Intent)
	if err == nil {
		l.mu.Lock()
		err = l.spendCap(r.Intent)
		l.mu.Unlock()
	}
	if errors.Is(err, escrow.ErrUnreachable) {
		return r, false, err
	}
	if err != nil {
		return fail(r, 0, err.Error()), false, nil
	}
	return r, true, nil
}

func (l *Ledger) signed(r record, hash [32]byte, lastValid, sigs uint64, units uint32, price uint64,
	ixs []instruction) (record, error) {
	raw, signature, err := compile(l.signer, hash, append(budgetIx(units, price), ixs...))
	if err != nil {
		return fail(r, 0, err.Error()), nil
	}
	r.Tx, r.LastValid, r.lastSend = raw, lastValid, time.Time{}
	fee := r.Fees + sigs*escrow.FeePerSignature + priorityFee(price, units)
	r.Result = escrow.Result{State: escrow.SignedTx, Signature: market.Base58(signature[:]), Fee: fee,
		Burnt: r.Result.Burnt, Code: r.Result.Code}
	return r, nil
}

// send gives the stored bytes to every endpoint. No answer counts as sent: only the chain tells.
func (l *Ledger) send(ctx context.Context, r record) error {
	opts := map[string]any{"encoding": "base64", "skipPreflight": true, "maxRetries": 0,
		"preflightCommitment": "confirmed"}
	if err := l.rpc.everywhere(ctx, "sendTransaction", base64.StdEncoding.EncodeToString(r.Tx), opts); err != nil {
		l.log.Debug("send", "intent", r.Intent.Key(), "err", err)
	}
	r.lastSend = time.Now()
	if r.Result.State == escrow.SignedTx {
		r.Result.State = escrow.Sent
		return l.commit(r)
	}
	l.mu.Lock()
	l.recs[r.Intent.Key()] = &r
	l.mu.Unlock()
	return nil
}
