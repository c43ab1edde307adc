package solana

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

const (
	resendEvery  = 2 * time.Second
	keepEnded    = 24 * time.Hour
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
	Ended     time.Time     `json:"ended,omitzero"`

	lastSend time.Time
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
		s.result(key, r.Result)
	}
	return nil
}

// Serve drives all intents until ctx ends; it returns nil then. Run it once. A journal that fails ends it with that error: nothing may be
// sent that is not stored.
func (l *Ledger) Serve(ctx context.Context) error {
	t := time.NewTicker(l.cfg.Step)
	defer t.Stop()
	for failing := false; ; {
		err := l.step(ctx)
		if errors.Is(err, errJournal) && ctx.Err() == nil {
			return err
		}
		if err != nil && !failing && ctx.Err() == nil {
			l.log.Warn("Transactions are not driven", "code", "chain-unreachable", "error", err) // once per outage
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-t.C:
		}
	}
}

// step moves every intent as far as it goes now. Errors: chain-unreachable and chain-disagrees (retried), the journal's.
func (l *Ledger) step(ctx context.Context) error {
	work := l.work()
	if len(work) == 0 {
		return nil
	}
	if err := l.checkGenesis(ctx); err != nil {
		return err
	}
	for i, r := range work {
		if r.Result.State == escrow.Planned || r.Result.State == escrow.Expired {
			next, err := l.sign(ctx, r)
			if err != nil {
				return err
			}
			if err := l.commit(next); err != nil {
				return err
			}
			work[i] = next
		}
	}
	for _, r := range work {
		if s := r.Result.State; (s == escrow.SignedTx || s == escrow.Sent) && time.Since(r.lastSend) >= resendEvery {
			if err := l.send(ctx, r); err != nil {
				return err
			}
		}
	}
	return l.poll(ctx)
}

// work returns copies of the open intents, oldest first, and deletes ended ones whose time is over.
func (l *Ledger) work() (out []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, r := range l.recs {
		if !r.Result.State.Ended() {
			out = append(out, *r)
			continue
		}
		if time.Since(r.Ended) > keepEnded {
			if err := l.journal.Delete(key); err != nil {
				l.log.Warn("deleting an ended intent", "intent", key, "err", err)
				continue
			}
			delete(l.recs, key)
		}
	}
	slices.SortFunc(out, func(a, b record) int { return a.At.Compare(b.At) })
	return out
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

// sign builds, simulates and signs an intent with a fresh blockhash. The error is only ever "ask again later".
func (l *Ledger) sign(ctx context.Context, r record) (record, error) {
	b, err := l.build(ctx, &r)
	switch {
	case errors.Is(err, errDone):
		return finish(r), nil
	case errors.Is(err, escrow.ErrUnreachable):
		return r, err
	case err != nil:
		return fail(r, 0, err.Error()), nil
	}
	hash, lastValid, err := l.latest(ctx)
	if err != nil {
		return r, err
	}
	if r.Intent.All {
		return l.signAll(ctx, r, hash, lastValid)
	}
	raw, _, err := compile(l.signer, hash, append(budgetIx(simUnits, 0), b.ixs...))
	if err != nil {
		return fail(r, 0, err.Error()), nil
	}
	sim, err := l.simulate(ctx, raw)
	if err != nil {
		return r, err
	}
	if sim.failed && strings.Contains(sim.failure.Text, "BlockhashNotFound") {
		return r, unreachable("simulating", errors.New("the endpoint does not know its own blockhash yet"))
	}
	if sim.failed {
		return l.failed(r, sim.failure), nil
	}
	units := sim.units + sim.units/10 + 300
	price := l.price(ctx, b.writable, units, r.Tries)
	return l.signed(r, hash, lastValid, b.sigs, units, price, b.ixs)
}

// signAll empties the account: the amount follows from the fee, so the transaction is built with fixed units and not simulated.
func (l *Ledger) signAll(ctx context.Context, r record, hash [32]byte, lastValid uint64) (record, error) {
	balance, err := l.Balance(ctx, l.address)
	if err != nil {
		return r, err
	}
	const units = 1_000 // three budget instructions and a transfer take 600
	price := l.price(ctx, []string{l.address.String(), r.Intent.To.String()}, units, r.Tries)
	fee := market.Amount(escrow.FeePerSignature + priorityFee(price, units))
	if balance <= fee {
		return fail(r, 0, fmt.Sprintf("account %s holds %s SOL, the fee is %s", l.address, balance.SOL(), fee.SOL())), nil
	}
	return l.signed(r, hash, lastValid, 1, units, price, []instruction{transferIx(l.address, r.Intent.To, balance-fee)})
}

func (l *Ledger) signed(r record, hash [32]byte, lastValid, sigs uint64, units uint32, price uint64, ixs []instruction) (record, error) {
	raw, signature, err := compile(l.signer, hash, append(budgetIx(units, price), ixs...))
	if err != nil {
		return fail(r, 0, err.Error()), nil
	}
	r.Tx, r.LastValid, r.lastSend = raw, lastValid, time.Time{}
	r.Result = escrow.Result{State: escrow.SignedTx, Signature: market.Base58(signature[:]), Fee: sigs*escrow.FeePerSignature + priorityFee(price, units)}
	return r, nil
}

// send gives the stored bytes to every endpoint. No answer counts as sent: only the chain tells.
func (l *Ledger) send(ctx context.Context, r record) error {
	var signature string
	opts := map[string]any{"encoding": "base64", "skipPreflight": true, "maxRetries": 0, "preflightCommitment": "confirmed"}
	if err := l.rpc.everywhere(ctx, &signature, "sendTransaction", base64.StdEncoding.EncodeToString(r.Tx), opts); err != nil {
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
