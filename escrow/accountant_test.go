package escrow_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

var program = market.Address{42}

// openChannel is a Channel as an honest customer opens it, with rules that accept it.
func openChannel(t testing.TB, deposit market.Amount) (escrow.ChannelState, escrow.AcceptRules) {
	t.Helper()
	terms := escrow.OpenTerms{
		Payer: market.Address{1}, Payee: market.Address{2}, VoucherKey: escrow.PublicKey(testKey(1)),
		ReleaseKey: escrow.PublicKey(testKey(2)),
		CloseDelay: time.Hour, ClusterTag: 99, OpenSlot: 7,
	}
	terms, id, err := terms.FindSalt(program)
	if err != nil {
		t.Fatal(err)
	}
	cs := escrow.ChannelState{
		ID: id, Deposit: deposit, Payer: terms.Payer, Payee: terms.Payee, PayerDest: terms.Payer,
		PayeeDest: terms.Payee, VoucherKey: terms.VoucherKey,
		ReleaseKey: terms.ReleaseKey, CloseDelay: terms.CloseDelay, Salt: terms.Salt, ClusterTag: terms.ClusterTag,
		OpenSlot: terms.OpenSlot,
	}
	return cs, escrow.AcceptRules{
		Program: program, ClusterTag: 99, Payer: terms.Payer, Payout: terms.Payee, VoucherKey: terms.VoucherKey,
		ReleaseKey:    terms.ReleaseKey,
		MinCloseDelay: time.Hour, MinHeadroom: 10, FeePayer: 1_000_000, RentMinimum: 890_880,
	}
}

func lease(n byte) market.LeaseID { return market.LeaseID{n} }

func TestAccept_Checks(t *testing.T) {
	base, rules := openChannel(t, 100)
	if err := escrow.AcceptChannel(base, rules, escrow.NewAccount(base, escrow.Finalised)); err != nil {
		t.Fatalf("an honest channel is refused: %v", err)
	}
	zero := base
	zero.ReleaseKey = [32]byte{}
	if err := escrow.AcceptChannel(zero, rules, escrow.NewAccount(zero, escrow.Finalised)); err != nil {
		t.Fatalf("a channel without release key is refused: %v", err)
	}
	for _, c := range []struct {
		name, want string
		edit       func(cs *escrow.ChannelState, r *escrow.AcceptRules)
	}{
		{"gone", "channel-unknown: no such account",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.Status = escrow.StatusGone }},
		{"another address", "channel-unknown: address does not match the terms",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.Salt++ }},
		{"cluster", "channel-unfit: cluster_tag",
			func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.ClusterTag++ }},
		{"closing", "channel-unfit: status",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.Status = escrow.StatusClosing }},
		{"settled before", "channel-unfit: settled: by leases that are not known here",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.Settled = 1 }},
		{"payer", "channel-unfit: payer", func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.Payer[0]++ }},
		{"payee", "channel-unfit: payee", func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.Payout[0]++ }},
		{"mint", "channel-unfit: mint", func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.Mint[0]++ }},
		{"dest", "channel-unfit: payee_dest",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.PayeeDest[0]++ }},
		{"delay short", "channel-unfit: close_delay",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.CloseDelay -= time.Second }},
		{"delay long", "channel-unfit: close_delay",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.CloseDelay = 604_801 * time.Second }},
		{"voucher key", "channel-unfit: voucher_key",
			func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.VoucherKey[0]++ }},
		{"release key", "channel-unfit: release_key",
			func(cs *escrow.ChannelState, _ *escrow.AcceptRules) { cs.ReleaseKey = escrow.PublicKey(testKey(9)) }},
		{"deposit", "channel-unfit: deposit: limit of 0.000000099 with one endpoint",
			func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.MaxDeposit = 99 }},
		{"headroom", "channel-too-small: headroom 0.0000001 SOL, need 0.000000101 SOL",
			func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.MinHeadroom = 101 }},
		{"fee payer", "channel-unfit: claim_fee: fee payer holds 0.00091 SOL, needs 0.00091088 SOL",
			func(_ *escrow.ChannelState, r *escrow.AcceptRules) { r.FeePayer = 910_000 }},
	} {
		cs, r := base, rules
		c.edit(&cs, &r)
		err := escrow.AcceptChannel(cs, r, escrow.NewAccount(base, escrow.Finalised))
		if got := fmt.Sprint(err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// pair is payer and payee with the same Channel and leases 1..n.
func pair(t testing.TB, deposit, leaseCap market.Amount, n int) (payer, payee escrow.Account) {
	t.Helper()
	cs, _ := openChannel(t, deposit)
	payer, payee = escrow.NewAccount(cs, escrow.Finalised), escrow.NewAccount(cs, escrow.Finalised)
	for i := range n {
		var err, err2 error
		payer, err = payer.AddLease(lease(byte(i+1)), leaseCap, 5)
		payee, err2 = payee.AddLease(lease(byte(i+1)), leaseCap, 5)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
	}
	return payer, payee
}

func TestTakePayment_Refusals(t *testing.T) {
	_, payee := pair(t, 100, 60, 2)
	key := testKey(1)
	pay := func(l byte, amount, total market.Amount) market.Payment {
		s := escrow.Voucher{Channel: payee.Channel, Amount: total}.Sign(key)
		return market.Payment{Lease: lease(l), LeaseAmount: amount, Voucher: s.Encode(), Sig: s.Sig}
	}
	payee, stored, err := payee.TakePayment(pay(1, 20, 20))
	if err != nil || stored != 20 {
		t.Fatalf("first payment: %d, %v", stored, err)
	}
	expiring := pay(1, 30, 30)
	expiring.Voucher[45] = 1
	foreign := pay(1, 30, 30)
	foreign.Voucher[5] ^= 1
	forged := pay(1, 30, 30)
	forged.Sig[3] ^= 1
	for _, c := range []struct {
		name string
		code market.Code
		p    market.Payment
	}{
		{"expires", market.CodeVoucherExpires, expiring},
		{"other channel", market.CodeVoucherUnknown, foreign},
		{"unknown lease", market.CodeVoucherUnknown, pay(3, 30, 30)},
		{"lower lease amount", market.CodeVoucherBackwards, pay(1, 19, 30)},
		{"lower total", market.CodeVoucherBackwards, pay(1, 20, 19)},
		{"over deposit", market.CodeVoucherOverDeposit, pay(1, 30, 101)},
		{"over cap", market.CodeVoucherAllocation, pay(1, 61, 61)},
		{"one voucher for two leases", market.CodeVoucherAllocation, pay(2, 20, 20)},
		{"signature", market.CodeVoucherSignature, forged},
	} {
		next, stored, err := payee.TakePayment(c.p)
		if market.CodeOf(err) != c.code || stored != 20 {
			t.Errorf("%s: stored %d, %v; want %s", c.name, stored, err, c.code)
		}
		if diff := cmp.Diff(payee, next); diff != "" {
			t.Errorf("%s: a refusal changed the state:\n%s", c.name, diff)
		}
	}
	if _, stored, err := payee.TakePayment(pay(1, 20, 20)); err != nil || stored != 20 {
		t.Errorf("repeat: %d, %v", stored, err)
	}
}

func TestHeadroom_EndedLeasesCount(t *testing.T) {
	payer, payee := pair(t, 100, 60, 1)
	_, p, err := payer.Sign(testKey(1), lease(1), 40)
	if err != nil {
		t.Fatal(err)
	}
	if payee, _, err = payee.TakePayment(p); err != nil {
		t.Fatal(err)
	}
	if got := payee.Headroom(); got != 100-40-5 {
		t.Errorf("live lease: headroom %d, want 55 (its reserve of 5 counts)", got)
	}
	if got := payee.EndLease(lease(1), 30).Headroom(); got != 60 {
		t.Errorf("ended lease: headroom %d, want 60 (signed 40 stay taken)", got)
	}
}

// TestAllocation_SumIsTotal plays many leases with lost, repeated and reordered Payments: the shares never exceed the
// voucher, and after the customer repeats the newest of each lease they sum to it.
func TestAllocation_SumIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, _ := openChannel(nil2(t), 1000)
		payer, payee := escrow.NewAccount(cs, escrow.Finalised), escrow.NewAccount(cs, escrow.Finalised)
		for i := range byte(3) {
			payer, _ = payer.AddLease(lease(i), 400, 5)
			payee, _ = payee.AddLease(lease(i), 400, 5)
		}
		var sent []market.Payment
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := lease(byte(rapid.IntRange(0, 2).Draw(t, "lease")))
			amount := payer.Leases[id].Paid + market.Amount(rapid.IntRange(0, 60).Draw(t, "more"))
			next, p, err := payer.Sign(testKey(1), id, amount)
			if err != nil {
				if market.CodeOf(err) != market.CodeVoucherAllocation && market.CodeOf(err) != market.CodeFundsShort {
					t.Fatalf("sign: %v", err)
				}
				continue
			}
			payer, sent = next, append(sent, p)
			if payer.PaidSum() != payer.Newest.Amount || payer.PaidSum() > payer.Seen {
				t.Fatalf("payer: shares %d, voucher %d, deposit %d", payer.PaidSum(), payer.Newest.Amount, payer.Seen)
			}
			if rapid.Bool().Draw(t, "deliver") {
				p := sent[rapid.IntRange(0, len(sent)-1).Draw(t, "which")]
				before := payee
				payee, _, _ = payee.TakePayment(p)
				if payee.Newest.Amount < before.Newest.Amount ||
					payee.Leases[p.Lease].Paid < before.Leases[p.Lease].Paid {
					t.Fatal("an amount fell")
				}
			}
			if payee.PaidSum() > payee.Newest.Amount {
				t.Fatalf("payee: shares %d over voucher %d", payee.PaidSum(), payee.Newest.Amount)
			}
		}
		for _, p := range sent {
			payee, _, _ = payee.TakePayment(p)
		}
		if payee.PaidSum() != payer.PaidSum() || payee.Newest.Amount != payer.Newest.Amount {
			t.Fatalf("after the repeats: payee %d of %d, payer %d of %d", payee.PaidSum(), payee.Newest.Amount,
				payer.PaidSum(), payer.Newest.Amount)
		}
	})
}

// TestAway_OnlyOwedTaken: whatever is signed ahead, earned is the highest voucher at or below what is owed, and the
// Release gives Σ owed.
func TestAway_OnlyOwedTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cs, _ := openChannel(nil2(t), 1000)
		payer, payee := escrow.NewAccount(cs, escrow.Finalised), escrow.NewAccount(cs, escrow.Finalised)
		payer, _ = payer.AddLease(lease(1), 900, 5)
		payee, _ = payee.AddLease(lease(1), 900, 5)
		var all []market.Amount
		signed, owed := market.Amount(0), market.Amount(0)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "sign") {
				signed = min(signed+market.Amount(rapid.IntRange(1, 50).Draw(t, "ahead")), 900)
				var p market.Payment
				var err error
				if payer, p, err = payer.Sign(testKey(1), lease(1), signed); err != nil {
					t.Fatal(err)
				}
				if payee, _, err = payee.TakePayment(p); err != nil {
					t.Fatal(err)
				}
				all = append(all, signed)
			} else {
				owed = min(owed+market.Amount(rapid.IntRange(1, 50).Draw(t, "meter")), 900)
				payee = payee.Owe(lease(1), owed)
			}
			want := market.Amount(0)
			for _, a := range all {
				if a <= owed {
					want = max(want, a)
				}
			}
			if got, _ := payee.Earned(); got.Amount != want {
				t.Fatalf("earned %d, want %d of signed %v with owed %d", got.Amount, want, all, owed)
			}
		}
		now := time.Unix(1_000_000, 0)
		next, rel, err := payee.EndLease(lease(1), owed).MakeRelease(testKey(2), now)
		if err != nil || rel.Final != owed || next.Phase != escrow.PhaseReleasing {
			t.Fatalf("release %d, want %d: %v", rel.Final, owed, err)
		}
	})
}

// nil2 lets rapid's T stand in for testing.TB where only Helper and Fatal are used.
func nil2(t *rapid.T) testing.TB { return rapidTB{T: t} }

type rapidTB struct {
	testing.TB
	T *rapid.T
}

func (r rapidTB) Helper()           {}
func (r rapidTB) Fatal(args ...any) { r.T.Fatal(args...) }

func TestRelease_Rules(t *testing.T) {
	payer, payee := pair(t, 100, 60, 1)
	now := time.Unix(1_000_000, 0)
	if _, _, err := payee.MakeRelease(testKey(2), now); market.CodeOf(err) != market.CodeLeaseLive {
		t.Fatalf("release with a live lease: %v", err)
	}
	payer, p, err := payer.Sign(testKey(1), lease(1), 40)
	if err != nil {
		t.Fatal(err)
	}
	if payee, _, err = payee.TakePayment(p); err != nil {
		t.Fatal(err)
	}
	payee, payer = payee.EndLease(lease(1), 30), payer.EndLease(lease(1), 30)
	payee, rel, err := payee.MakeRelease(testKey(2), now)
	if err != nil || rel.Final != 30 || rel.Expires > now.Add(escrow.MaxReleaseTTL).Unix() {
		t.Fatalf("release %+v, %v", rel, err)
	}
	if _, err := payee.AddLease(lease(2), 10, 5); market.CodeOf(err) != market.CodeChannelUnfit {
		t.Errorf("lease while releasing: %v", err)
	}
	relKey := escrow.PublicKey(testKey(2))
	after, err := payer.TakeRelease(rel, relKey, now)
	if err != nil {
		t.Fatalf("honest release: %v", err)
	}
	if _, _, err := after.Sign(testKey(1), lease(1), 41); market.CodeOf(err) != market.CodeChannelClosing {
		t.Errorf("signing while releasing: %v", err)
	}
	greedy := escrow.Release{Channel: rel.Channel, Final: 41, Expires: rel.Expires}.Sign(testKey(2))
	for name, err := range map[string]error{
		"too much":   second(payer.TakeRelease(greedy, relKey, now)),
		"expired":    second(payer.TakeRelease(rel, relKey, now.Add(escrow.MaxReleaseTTL))),
		"wrong key":  second(payer.TakeRelease(rel, escrow.PublicKey(testKey(3)), now)),
		"no key":     second(payer.TakeRelease(rel, [32]byte{}, now)),
		"live lease": second(must(payer.AddLease(lease(9), 10, 5)).TakeRelease(rel, relKey, now)),
	} {
		if market.CodeOf(err) != market.CodeReleaseUnfit {
			t.Errorf("%s: %v, want release-unfit", name, err)
		}
	}
	// Expired and still open when finalised: leases again.
	cs, _ := openChannel(t, 100)
	if got := payee.Observe(cs, escrow.Finalised, rel.Expires).Phase; got != escrow.PhaseReleasing {
		t.Errorf("before expiry: %s", got)
	}
	if got := payee.Observe(cs, escrow.Finalised, rel.Expires+1).Phase; got != escrow.PhaseOpen {
		t.Errorf("after expiry: %s", got)
	}
	// Once expired by a final view, it is over for a caller without a clock too.
	if got := payee.Observe(cs, escrow.Finalised, rel.Expires+1).Observe(cs, escrow.Finalised,
		0).Phase; got != escrow.PhaseOpen {
		t.Errorf("after expiry, without a clock: %s", got)
	}
	// A view of before the open does not make the Release forgotten.
	stale := payee.Observe(escrow.ChannelState{ID: cs.ID, Status: escrow.StatusGone}, escrow.Finalised, rel.Expires-10)
	if got := stale.Observe(cs, escrow.Finalised, rel.Expires-9).Phase; got != escrow.PhaseReleasing {
		t.Errorf("after a stale view: %s", got)
	}
}

func second(_ escrow.Account, err error) error { return err }

func must(a escrow.Account, err error) escrow.Account {
	if err != nil {
		panic(err)
	}
	return a
}

func TestObserve_Phases(t *testing.T) {
	cs, _ := openChannel(t, 100)
	gone := escrow.ChannelState{ID: cs.ID, Status: escrow.StatusGone}
	closing, sealed := cs, cs
	closing.Status, sealed.Status = escrow.StatusClosing, escrow.StatusSealed
	type look struct {
		cs escrow.ChannelState
		t  escrow.Trust
	}
	for _, c := range []struct {
		name    string
		looks   []look
		want    escrow.Phase
		deposit market.Amount
	}{
		{"confirmed money does not count", []look{{cs, escrow.Confirmed}}, escrow.PhaseSeen, 0},
		{"finalised", []look{{cs, escrow.Confirmed}, {cs, escrow.Finalised}}, escrow.PhaseOpen, 100},
		{"a confirmed look keeps Open", []look{{cs, escrow.Finalised}, {cs, escrow.Confirmed}}, escrow.PhaseOpen, 100},
		{"shown tells nothing", []look{{cs, escrow.Finalised}, {closing, escrow.Shown}}, escrow.PhaseOpen, 100},
		{"closing", []look{{cs, escrow.Finalised}, {closing, escrow.Confirmed}}, escrow.PhaseClosing, 100},
		{"closing undone only when finalised", []look{{closing, escrow.Confirmed}, {cs, escrow.Confirmed}},
			escrow.PhaseClosing, 0},
		{"closing undone", []look{{closing, escrow.Confirmed}, {cs, escrow.Finalised}}, escrow.PhaseOpen, 100},
		{"sealed", []look{{cs, escrow.Finalised}, {sealed, escrow.Confirmed}}, escrow.PhaseSealed, 100},
		{"gone", []look{{cs, escrow.Finalised}, {gone, escrow.Finalised}}, escrow.PhaseGone, 100},
		{"fork", []look{{cs, escrow.Confirmed}, {gone, escrow.Confirmed}}, escrow.PhaseLost, 0},
		{"not there yet", []look{{gone, escrow.Finalised}}, escrow.PhaseOpening, 0},
	} {
		a := escrow.NewAccount(gone, escrow.Shown)
		for _, l := range c.looks {
			a = a.Observe(l.cs, l.t, 0)
		}
		if a.Phase != c.want || a.Deposit != c.deposit {
			t.Errorf("%s: %s with %d, want %s with %d", c.name, a.Phase, a.Deposit, c.want, c.deposit)
		}
	}
}

func TestAccount_JSONRoundTrip(t *testing.T) {
	payer, payee := pair(t, 100, 60, 2)
	_, p, err := payer.Sign(testKey(1), lease(2), 33)
	if err != nil {
		t.Fatal(err)
	}
	if payee, _, err = payee.TakePayment(p); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(payee)
	if err != nil {
		t.Fatal(err)
	}
	var back escrow.Account
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(payee, back); diff != "" {
		t.Fatalf("a restart changes the books:\n%s", diff)
	}
}

func TestTopUp_AtTwentyPercent(t *testing.T) {
	payer, _ := pair(t, 100, 500, 1)
	for _, c := range []struct{ paid, want market.Amount }{{0, 0}, {79, 0}, {80, 80}, {95, 95}} {
		a, _, err := payer.Sign(testKey(1), lease(1), c.paid)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.TopUp(100); got != c.want {
			t.Errorf("paid %d of 100: top up %d, want %d", c.paid, got, c.want)
		}
	}
}

func TestDecide_FirstMatchWins(t *testing.T) {
	payer, payee := pair(t, 10_000_000, 9_000_000, 1)
	_, p, err := payer.Sign(testKey(1), lease(1), 400_000)
	if err != nil {
		t.Fatal(err)
	}
	if payee, _, err = payee.TakePayment(p); err != nil {
		t.Fatal(err)
	}
	payee = payee.Owe(lease(1), 400_000)
	now := time.Unix(1_000_000, 0)
	base := escrow.Settle{Now: now, Cost: 10_000, Hourly: 1_000_000, MaxUnclaimed: escrow.DefaultMaxUnclaimed,
		PayeeReceives: true}
	closing := payee
	closing.Phase = escrow.PhaseClosing
	for _, c := range []struct {
		name string
		a    escrow.Account
		edit func(s *escrow.Settle)
		want escrow.Act
	}{
		{"small sums wait", payee, func(*escrow.Settle) {}, escrow.ActWait},
		{"closing", closing, func(*escrow.Settle) {}, escrow.ActClaim},
		{"closing, payee cannot receive", closing, func(s *escrow.Settle) { s.PayeeReceives = false },
			escrow.ActRecord},
		{"closing, not worth it", closing, func(s *escrow.Settle) { s.Cost = 400_000 }, escrow.ActWait},
		{"one endpoint says closing", payee, func(s *escrow.Settle) { s.ClosingToldBy1 = true }, escrow.ActRecord},
		{"one endpoint says it again", payee,
			func(s *escrow.Settle) { s.ClosingToldBy1, s.LastRecord = true, now.Add(-time.Minute) }, escrow.ActWait},
		{"an hour unclaimed", payee, func(s *escrow.Settle) { s.Hourly = 400_000 }, escrow.ActClaim},
		{"an hour unclaimed, dear", payee, func(s *escrow.Settle) { s.Hourly, s.Cost = 400_000, 20_001 },
			escrow.ActWait},
		{"24 h old", payee, func(s *escrow.Settle) { s.OldestUnclaimed = now.Add(-24 * time.Hour) }, escrow.ActClaim},
		{"ended, no release", payee, func(s *escrow.Settle) { s.LastEnded = now.Add(-11 * time.Minute) },
			escrow.ActClaim},
		{"ended, released", payee, func(s *escrow.Settle) {
			s.LastEnded, s.ReleaseFinished = now.Add(-11*time.Minute),
				true
		}, escrow.ActWait},
	} {
		s := base
		c.edit(&s)
		if d := escrow.Decide(&c.a, s); d.Act != c.want || (d.Act != escrow.ActWait && d.Voucher.Amount != 400_000) {
			t.Errorf("%s: %+v, want act %d", c.name, d, c.want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	payer, payee := pair(b, 1000, 900, 1)
	_, p, err := payer.Sign(testKey(1), lease(1), 400)
	if err != nil {
		b.Fatal(err)
	}
	if payee, _, err = payee.TakePayment(p); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		escrow.Decide(&payee, escrow.Settle{Cost: 1})
	}
}

// TestAccount_LaggingEndpoint_TakesNothingBack: a view of before the last one neither makes a Channel vanish nor a
// final deposit smaller; a newer one does make it vanish.
func TestAccount_LaggingEndpoint_TakesNothingBack(t *testing.T) {
	cs := escrow.ChannelState{ID: market.ChannelID{1}, Status: escrow.StatusOpen, Deposit: 100, Slot: 1_000}
	a := escrow.NewAccount(cs, escrow.Finalised)
	cs.Deposit, cs.Slot = 300, 1_100
	a = a.Observe(cs, escrow.Finalised, 0)
	cs.Deposit, cs.Slot = 100, 1_050
	if a = a.Observe(cs, escrow.Finalised, 0); a.Deposit != 300 {
		t.Errorf("an old view makes the deposit %d", a.Deposit)
	}
	gone := escrow.ChannelState{ID: cs.ID, Status: escrow.StatusGone, Slot: 900}
	if a = a.Observe(gone, escrow.Finalised, 0); a.Phase != escrow.PhaseOpen {
		t.Errorf("an old view makes it %s", a.Phase)
	}
	gone.Slot = 1_200
	if a = a.Observe(gone, escrow.Finalised, 0); a.Phase != escrow.PhaseGone {
		t.Errorf("absent, it is %s", a.Phase)
	}
}
