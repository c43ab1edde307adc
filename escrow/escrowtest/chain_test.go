package escrowtest_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
)

const tenSOL market.Amount = 10_000_000_000

func memory(t *testing.T) *escrowtest.World {
	c := escrowtest.NewChain(escrowtest.Options{Seed: t.Name()})
	payer, fee := market.Address{1}, market.Address{2}
	c.Fund(payer, tenSOL)
	c.Fund(fee, tenSOL)
	t.Cleanup(func() {
		if d := c.Total(); d != 0 {
			t.Errorf("the chain made or lost %d lamports", d)
		}
	})
	return &escrowtest.World{
		Program: c.Program(), ClusterTag: c.ClusterTag(), Payer: c.Ledger(payer), PayerKey: payer,
		FeePayer: c.Ledger(fee), FeePayerKey: fee,
		Fund: c.Fund, Advance: c.Advance, Warp: c.Warp, RentPerByte: 6_960, SettleTimeout: 5 * time.Second,
	}
}

func TestPaidJob_OnLedger(t *testing.T) { escrowtest.TestLedger(t, memory) }

func TestChain_FinalisedTrailsConfirmed(t *testing.T) {
	c := escrowtest.NewChain(escrowtest.Options{Seed: "final"})
	w := &escrowtest.World{
		Program: c.Program(), ClusterTag: c.ClusterTag(), Payer: c.Ledger(market.Address{1}),
		PayerKey: market.Address{1}, SettleTimeout: time.Second,
	}
	c.Fund(market.Address{1}, tenSOL)
	id, _ := w.Open(t, market.Address{3}, 1_000, 0)
	status := func(trust escrow.Trust) escrow.Status {
		s, err := w.Payer.Channels(t.Context(), []market.ChannelID{id}, trust)
		if err != nil {
			t.Fatal(err)
		}
		return s[0].Status
	}
	if c, f := status(escrow.Confirmed), status(escrow.Finalised); c != escrow.StatusOpen || f != escrow.StatusGone {
		t.Fatalf("right after open: confirmed %s, finalised %s", c, f)
	}
	c.Warp(32)
	if f := status(escrow.Finalised); f != escrow.StatusOpen {
		t.Fatalf("32 slots later: finalised %s", f)
	}
}

func TestChain_DownIsUnknownNotAbsent(t *testing.T) {
	c := escrowtest.NewChain(escrowtest.Options{Seed: "down"})
	l := c.Ledger(market.Address{1})
	c.Down(true)
	if _, err := l.Channels(t.Context(), []market.ChannelID{{1}}, escrow.Shown); !errors.Is(err,
		escrow.ErrUnreachable) || market.CodeOf(err) != market.CodeChainUnreachable {
		t.Fatalf("channels while down: %v", err)
	}
	c.Down(false)
	if _, err := l.Channels(t.Context(), []market.ChannelID{{1}}, escrow.Shown); err != nil {
		t.Fatalf("channels after: %v", err)
	}
}

// TestChain_NeverMakesMoney plays random intents on two Channels: lamports are conserved, paid ≤ settled ≤ deposit, and
// the payee never gets more than the highest voucher.
func TestChain_NeverMakesMoney(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := escrowtest.NewChain(escrowtest.Options{Seed: "fuzz"})
		payer, payee := market.Address{1}, market.Address{9}
		c.Fund(payer, tenSOL)
		c.Fund(payee, 890_880)
		l := c.Ledger(payer)
		ctx := t.Context()
		h, _ := l.Head(ctx)
		key := escrowtest.Key("fuzz")
		terms := escrow.OpenTerms{Payer: payer, Payee: payee, VoucherKey: escrow.PublicKey(key),
			ReleaseKey: escrow.PublicKey(key), CloseDelay: 10 * time.Minute, OpenSlot: h.Slot}
		terms, id, err := terms.FindSalt(c.Program())
		if err != nil {
			t.Fatal(err)
		}
		deposit := market.Amount(1_000_000)
		submit := func(in escrow.Intent) { _ = l.Submit(ctx, in) } // refusals are part of the game
		submit(escrow.Intent{Op: escrow.OpOpen, Channel: id, Amount: deposit, Open: &terms})
		highest := market.Amount(0)
		for i := range uint64(rapid.IntRange(1, 25).Draw(t, "steps")) {
			amount := market.Amount(rapid.IntRange(0, 1_200_000).Draw(t, "amount"))
			v := escrow.Voucher{Channel: id, Amount: amount}.Sign(key)
			in := escrow.Intent{Channel: id, Nonce: i + 1, Amount: amount}
			switch rapid.IntRange(0, 7).Draw(t, "op") {
			case 0:
				in.Op, in.Voucher = escrow.OpClaim, &v
				highest = max(highest, amount)
			case 1:
				in.Op, in.Voucher = escrow.OpRecord, &v
				highest = max(highest, amount)
			case 2:
				in.Op = escrow.OpTopUp
			case 3:
				in.Op = escrow.OpRequestClose
			case 4:
				in.Op = escrow.OpFinish
			case 5:
				r := escrow.Release{Channel: id, Final: amount, Expires: 1 << 40}.Sign(key)
				in.Op, in.Release = escrow.OpFinish, &r
				highest = max(highest, amount)
			case 6:
				in.Op = escrow.OpReclaim
			default:
				c.Advance(time.Duration(rapid.IntRange(1, 40).Draw(t, "min")) * time.Minute)
				continue
			}
			submit(in)
			s, err := l.Channels(ctx, []market.ChannelID{id}, escrow.Confirmed)
			if err != nil {
				t.Fatal(err)
			}
			if cs := s[0]; cs.Paid > cs.Settled || cs.Settled > cs.Deposit || cs.Refunded != 0 &&
				cs.Refunded != cs.Deposit-cs.Settled {
				t.Fatalf("invariant broken: %+v", cs)
			}
			if got := c.Balance(payee) - 890_880; got > highest {
				t.Fatalf("payee got %d, highest signed %d", got, highest)
			}
			if d := c.Total(); d != 0 {
				t.Fatalf("%d lamports appeared", d)
			}
		}
	})
}
