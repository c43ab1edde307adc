package escrowtest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// World is a chain as the conformance suite needs it: two ledgers on the same cluster, and the powers of a test
// cluster.
type World struct {
	Program       market.Address
	ClusterTag    uint64
	Payer         escrow.Ledger // the customer's; signs as PayerKey
	PayerKey      market.Address
	FeePayer      escrow.Ledger // the provider's; signs as FeePayerKey
	FeePayerKey   market.Address
	Fund          func(a market.Address, lamports market.Amount)
	Advance       func(d time.Duration) // moves the chain's clock
	Warp          func(slots uint64)    // moves the slot, finalising what was confirmed before
	RentPerByte   uint64
	SettleTimeout time.Duration // how long an intent may take to be confirmed
}

// Key derives a test key from a name.
func Key(name string) ed25519.PrivateKey { return key(name) }

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("escrowtest " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func addr(name string) market.Address { return market.Address(escrow.PublicKey(key(name))) }

// rent is what an account of n bytes holds.
func (w *World) rent(n uint64) market.Amount {
	return market.Amount((escrow.AccountOverhead + n) * w.RentPerByte)
}

// Do submits an intent and waits until it is confirmed or has failed.
func (w *World) Do(t *testing.T, l escrow.Ledger, in escrow.Intent) escrow.Result {
	t.Helper()
	if err := l.Submit(t.Context(), in); err != nil {
		t.Fatalf("submit %s: %v", in.Key(), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), w.SettleTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r, ok, err := l.Result(ctx, in.Key())
		if err != nil || !ok {
			t.Fatalf("result of %s: known %v, %v", in.Key(), ok, err)
		}
		if r.State == escrow.ConfirmedTx || r.State.Ended() {
			return r
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is still %s after %s: %+v", in.Key(), r.State, w.SettleTimeout, r)
		case <-tick.C:
		}
	}
}

// must is Do for an intent that has to take effect.
func (w *World) must(t *testing.T, l escrow.Ledger, in escrow.Intent) escrow.Result {
	t.Helper()
	r := w.Do(t, l, in)
	if r.State == escrow.Failed {
		t.Fatalf("%s failed: %s", in.Key(), r.Err)
	}
	return r
}

// fails is Do for an intent that the program has to refuse with code.
func (w *World) fails(t *testing.T, l escrow.Ledger, in escrow.Intent, code uint32) {
	t.Helper()
	if r := w.Do(t, l, in); r.State != escrow.Failed || r.Code != code {
		t.Errorf("%s: %s, code %s (%s); want failed with %s", in.Key(), r.State, escrow.CodeName(r.Code), r.Err,
			escrow.CodeName(code))
	}
}

// Terms returns terms for a new Channel from the payer to a payee, with the test's voucher and release keys, and its
// address.
func (w *World) Terms(t *testing.T, payee market.Address) (escrow.OpenTerms, market.ChannelID) {
	t.Helper()
	return w.terms(t, payee, 0)
}

// terms is Terms with a salt: one payee's channels differ by it.
func (w *World) terms(t *testing.T, payee market.Address, salt uint64) (escrow.OpenTerms, market.ChannelID) {
	t.Helper()
	h, err := w.Payer.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	terms := escrow.OpenTerms{
		Payer: w.PayerKey, Payee: payee, VoucherKey: escrow.PublicKey(key("voucher")),
		ReleaseKey: escrow.PublicKey(key("release")),
		CloseDelay: time.Hour, ClusterTag: w.ClusterTag, OpenSlot: h.Slot, Salt: salt,
	}
	terms, id, err := terms.FindSalt(w.Program)
	if err != nil {
		t.Fatal(err)
	}
	return terms, id
}

// Open opens a Channel and returns its id and the open's result.
func (w *World) Open(t *testing.T, payee market.Address, deposit, claimFee market.Amount) (market.ChannelID,
	escrow.Result) {
	t.Helper()
	terms, id := w.Terms(t, payee)
	r := w.must(t, w.Payer, escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deposit, Open: &terms,
		ClaimFee: claimFee, FeePayer: w.FeePayerKey})
	return id, r
}

func (w *World) channel(t *testing.T, id market.ChannelID, trust escrow.Trust) escrow.ChannelState {
	t.Helper()
	s, err := w.Payer.Channels(t.Context(), []market.ChannelID{id}, trust)
	if err != nil {
		t.Fatal(err)
	}
	return s[0]
}

func (w *World) balance(t *testing.T, a market.Address) market.Amount {
	t.Helper()
	b, err := w.Payer.Balance(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func voucher(id market.ChannelID, amount market.Amount) *escrow.Signed {
	s := escrow.Voucher{Channel: id, Amount: amount}.Sign(key("voucher"))
	return &s
}

func claim(id market.ChannelID, amount market.Amount) escrow.Intent {
	return escrow.Intent{Op: escrow.OpClaim, Channel: id, Nonce: uint64(amount), Voucher: voucher(id, amount)}
}

func record(id market.ChannelID, amount market.Amount) escrow.Intent {
	return escrow.Intent{Op: escrow.OpRecord, Channel: id, Nonce: uint64(amount), Voucher: voucher(id, amount)}
}

// equal compares lamports.
func equal(t *testing.T, what string, got, want market.Amount) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d lamports, want %d (difference %d)", what, got, want, int64(got)-int64(want))
	}
}

// TestLedger is the contract of escrow.Ledger. newWorld returns a fresh world whose payer and fee payer hold 10 SOL
// each.
func TestLedger(t *testing.T, newWorld func(t *testing.T) *World) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, w *World)
	}{
		{"PaidJob_ClaimCloseFinishReclaim", paidJob},
		{"Release_FinishesInOneTransaction", releasedJob},
		{"Consent_PayeeEndsAlone", consentedJob},
		{"TopUp_TotalIsReachedOnce", topUpTotal},
		{"Voucher_ReplayAndForgery", replay},
		{"Submit_IsIdempotent", idempotent},
		{"Legs_UnfundedPayeeHoldsUpNothing", unfundedPayee},
		{"Payout_CreatedByTheSum", payout},
		{"Funds_ShortSaysWhatIsNeeded", shortOfFunds},
		{"Probe_TellsWhatTheChainWould", probe},
		{"Watch_ReportsOutcomes", watch},
		{"Transfer_All", transferAll},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newWorld(t)) })
	}
}
