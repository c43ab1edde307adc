package nodetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/edwards25519"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// TestAdversary_Order_RefusedByName: orders that a rig must not take, each with the code that says why.
func TestAdversary_Order_RefusedByName(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour,
		change: func(p *provider.Config, _ *customer.Config) { p.Policy.MaxTime = time.Hour }},
		func(t *testing.T, w *world) {
			h := w.newHand(t, 10)
			for name, c := range map[string]struct {
				change func(*market.Order)
				code   market.Code
			}{
				"another ledger":   {func(o *market.Order) { o.ClusterTag++ }, market.CodePolicy},
				"another customer": {func(o *market.Order) { o.Customer = w.ch.ID() }, market.CodeMalformed},
				"from the future": {func(o *market.Order) { o.Created = o.Created.Add(time.Minute) },
					market.CodeClockSkew},
				"expired": {func(o *market.Order) { o.ValidUntil = o.Created.Add(-time.Second) },
					market.CodeClockSkew},
				"another mint": {func(o *market.Order) { o.Mint = market.Address{1} }, market.CodeDoesNotFit},
				"platform":     {func(o *market.Order) { o.Platform = "linux/riscv64" }, market.CodeDoesNotFit},
				"too long":     {func(o *market.Order) { o.MaxDuration = 2 * time.Hour }, market.CodeDoesNotFit},
				"egress":       {func(o *market.Order) { o.Egress = market.EgressAny }, market.CodeDoesNotFit},
				"cores":        {func(o *market.Order) { o.CPUMilli = 64_000 }, market.CodeDoesNotFit},
				"memory":       {func(o *market.Order) { o.RAM = 1 << 40 }, market.CodeDoesNotFit},
				"memory wraps": {func(o *market.Order) { o.RAM = 1<<64 - 1 }, market.CodeDoesNotFit},
				"disk":         {func(o *market.Order) { o.Disk = 1 << 50 }, market.CodeDoesNotFit},
				"devices":      {func(o *market.Order) { o.Devices = 2 }, market.CodeDoesNotFit},
			} {
				if _, _, err := h.quote(h.order(c.change)); market.CodeOf(err) != c.code {
					t.Errorf("%s: %v, want %s", name, err, c.code)
				}
				time.Sleep(50 * time.Millisecond) // orders of one peer are limited by rate
			}
		})
}

// TestAdversary_Lease_RefusedByName: leases whose parts, keys, channel or times do not fit, each with its code; none
// reserves a device.
func TestAdversary_Lease_RefusedByName(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: time.Hour}, func(t *testing.T, w *world) {
		h, other := w.newHand(t, 10), w.newHand(t, 11)
		q, _, err := h.quote(h.order(nil))
		h.check(err)
		good := h.open(q, 500_000_000, nil)
		foreign := escrow.PublicKey(p2ptest.Key(77))
		cases := map[string]struct {
			ch     market.ChannelID
			change func(*market.Proposal)
			code   market.Code
			detail string
		}{
			"foreign release key": {ch: h.open(q, 500_000_000, func(o *escrow.OpenTerms) { o.ReleaseKey = foreign }),
				code: market.CodeChannelUnfit, detail: "release_key"},
			"short close delay": {ch: h.open(q, 500_000_000,
				func(o *escrow.OpenTerms) { o.CloseDelay = 59 * time.Minute }), code: market.CodeChannelUnfit,
				detail: "close_delay"},
			"another cluster": {ch: h.open(q, 500_000_000, func(o *escrow.OpenTerms) { o.ClusterTag++ }),
				code: market.CodeChannelUnfit, detail: "cluster_tag"},
			"another payee": {ch: h.open(q, 500_000_000, func(o *escrow.OpenTerms) { o.Payee = addr("xy") }),
				code: market.CodeChannelUnfit, detail: "payee"},
			"another mint": {ch: h.open(q, 500_000_000,
				func(o *escrow.OpenTerms) { o.Mint = market.Address{1} }), code: market.CodeChannelUnfit,
				detail: "mint"},
			"another voucher key": {ch: h.open(q, 500_000_000, func(o *escrow.OpenTerms) { o.VoucherKey = foreign }),
				code: market.CodeChannelUnfit, detail: "voucher_key"},
			"somebody's channel": {ch: other.open(q, 500_000_000, nil), code: market.CodeChannelUnfit, detail: "payer"},
			"too small":          {ch: h.open(q, 1_000_000, nil), code: market.CodeChannelTooSmall},
			"no such channel": {ch: market.ChannelID{5},
				change: func(p *market.Proposal) { p.AcceptUntil = p.Created.Add(2 * time.Second) },
				code:   market.CodeChannelUnknown},
			"bound to another": {ch: good,
				change: func(p *market.Proposal) { p.BindSig = escrow.SignBind(h.Voucher, other.ID, p.Channel) },
				code:   market.CodeBadSignature},
			"over the budget": {ch: good, change: func(p *market.Proposal) { p.Cap++ }, code: market.CodeSpecMismatch},
			"cap of nothing": {ch: good, change: func(p *market.Proposal) { p.Cap = 0 },
				code: market.CodeSpecMismatch},
			"another order": {ch: good, change: func(p *market.Proposal) { p.Order = h.order(nil) },
				code: market.CodeSpecMismatch},
			"somebody's order": {ch: good, change: func(p *market.Proposal) { p.Order = other.order(nil) },
				code: market.CodeSpecMismatch},
			"own quote": {ch: good, change: func(p *market.Proposal) { p.Quote = selfQuote(h, q) },
				code: market.CodeQuoteUnknown},
			"after accept_until": {ch: good,
				change: func(p *market.Proposal) { p.AcceptUntil = p.Created.Add(-time.Second) },
				code:   market.CodeTooLate},
			"no spec": {ch: good, change: func(p *market.Proposal) { p.Spec = []byte("{") },
				code: market.CodeSpecRefused},
		}
		time.Sleep(15 * time.Second) // until the deposits are final; the quote does not live much longer
		order := h.order(nil)
		_, quote, err := h.quote(order)
		h.check(err)
		for name, c := range cases {
			id, raw := h.lease(order, quote, c.ch, c.change)
			if code, detail := h.decided(id, raw); code != c.code || !strings.Contains(detail, c.detail) {
				t.Errorf("%s: %q %q, want %s %s", name, code, detail, c.code, c.detail)
			}
		}
		_, raw := h.lease(order, quote, good, nil)
		if err := other.svc.Propose(context.Background(), w.ph.ID(),
			raw); market.CodeOf(err) != market.CodeSignerNotPeer {
			t.Errorf("a lease that another node sends: %v", err)
		}
		if v := w.prov.View(); v.Live != 0 || v.Devices[0].State != "free" || v.Devices[1].State != "free" {
			t.Errorf("refused leases hold devices: %+v", v)
		}
	})
}

// selfQuote is a quote that the customer signed itself, for nothing.
func selfQuote(h *hand, q market.Quote) []byte {
	q.Rate = 1
	raw, err := wire.SealQuote(h.Key, h.Network, q)
	h.check(err)
	return raw
}

// TestAdversary_QuoteAndLeaseTwice_OneLease: the same bytes get the same answer, other bytes on the same quote none.
func TestAdversary_QuoteAndLeaseTwice_OneLease(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: time.Hour}, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		order := h.order(nil)
		q, quote, err := h.quote(order)
		h.check(err)
		ch := h.open(q, 500_000_000, nil)
		id, raw := h.lease(order, quote, ch, nil)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _ = h.svc.Propose(context.Background(), w.ph.ID(), raw) }) // the last one below is checked
		}
		wg.Wait()
		for range 2 {
			if code, detail := h.decided(id, raw); code != "" {
				t.Fatalf("refused: %s %s", code, detail)
			}
		}
		again, raw2 := h.lease(order, quote, ch, nil)
		if code, _ := h.decided(again, raw2); code != market.CodeQuoteUnknown {
			t.Errorf("a second lease on one quote: %q", code)
		}
		if v := w.prov.View(); v.Live != 1 || len(w.prov.Leases()) != 1 {
			t.Errorf("%d live leases, %d in all", v.Live, len(w.prov.Leases()))
		}
	})
}

// TestAdversary_Payment_RefusedByName: vouchers that never pay, or pay something else, leave what is stored as it was.
func TestAdversary_Payment_RefusedByName(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: time.Hour}, func(t *testing.T, w *world) {
		h, other := w.newHand(t, 10), w.newHand(t, 11)
		lease, ch := h.deal(500_000_000)
		foreign, foreignCh := other.deal(500_000_000)
		s := h.session()
		if stored, err := h.pay(s, lease, ch, 3*tickPrice, 3*tickPrice, nil); err != nil || stored != 3*tickPrice {
			t.Fatalf("stored %d, %v", stored, err)
		}
		for name, c := range map[string]struct {
			share, total market.Amount
			change       func(*market.Payment)
			code         market.Code
		}{
			"expires": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Voucher[45] = 1; h.sign(p) }, market.CodeVoucherExpires},
			"no voucher": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Voucher[0]++; h.sign(p) }, market.CodeVoucherUnknown},
			"a release": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Voucher[0] = 0x52; h.sign(p) }, market.CodeVoucherUnknown},
			"another channel": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { copy(p.Voucher[2:], foreignCh[:]); h.sign(p) }, market.CodeVoucherUnknown},
			"backwards":             {2 * tickPrice, 2 * tickPrice, nil, market.CodeVoucherBackwards},
			"share backwards":       {2 * tickPrice, 4 * tickPrice, nil, market.CodeVoucherBackwards},
			"more than the deposit": {4 * tickPrice, 501_000_000, nil, market.CodeVoucherOverDeposit},
			"over the cap":          {500_000_001, 500_000_000, nil, market.CodeVoucherAllocation},
			"share over the total":  {5 * tickPrice, 4 * tickPrice, nil, market.CodeVoucherAllocation},
			"flipped bit": {4 * tickPrice, 4 * tickPrice, func(p *market.Payment) { p.Sig[40] ^= 1 },
				market.CodeVoucherSignature},
			"another key": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Sig = [64]byte(ed25519.Sign(other.Voucher, p.Voucher[:])) },
				market.CodeVoucherSignature},
			"identity R": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Sig = identityR(t, h.Voucher, p.Voucher[:]) }, market.CodeVoucherSignature},
			"somebody's lease": {4 * tickPrice, 4 * tickPrice, func(p *market.Payment) { p.Lease = foreign },
				market.CodeUnknownLease},
			"no lease": {4 * tickPrice, 4 * tickPrice,
				func(p *market.Payment) { p.Lease = market.LeaseID{1} }, market.CodeUnknownLease},
		} {
			if stored, err := h.pay(s, lease, ch, c.share, c.total, c.change); market.CodeOf(err) != c.code {
				t.Errorf("%s: stored %d, %v, want %s", name, stored, err, c.code)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if stored, err := h.pay(s, lease, ch, 3*tickPrice, 3*tickPrice, nil); err != nil || stored != 3*tickPrice {
			t.Errorf("a repeat is acknowledged again: stored %d, %v", stored, err)
		}
		for _, l := range w.prov.Leases() {
			if l.Lease.ID == lease && l.Lease.Paid != 3*tickPrice {
				t.Errorf("the lease counts %d as paid", l.Lease.Paid)
			}
		}
	})
}

// sign makes the payment's own bytes good for the verifier.
func (h *hand) sign(p *market.Payment) { p.Sig = [64]byte(ed25519.Sign(h.Voucher, p.Voucher[:])) }

// identityR is a signature with R the identity: with the secret key in hand Go's library takes it, the chain's
// precompile does not.
func identityR(t *testing.T, key ed25519.PrivateKey, msg []byte) (sig [64]byte) {
	t.Helper()
	h := sha512.Sum512(key.Seed())
	a, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	r := edwards25519.NewIdentityPoint().Bytes()
	sum := sha512.Sum512(bytes.Join([][]byte{r, key[32:], msg}, nil))
	k, err := edwards25519.NewScalar().SetUniformBytes(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	copy(sig[:], r)
	copy(sig[32:], edwards25519.NewScalar().Multiply(k, a).Bytes())
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), msg, sig[:]) {
		t.Fatal("the test's signature is not even good for the standard library")
	}
	return sig
}

// TestAdversary_DrainedChannel_CarriesNoLease: what earlier leases used, ended ones too, is not there for the next.
func TestAdversary_DrainedChannel_CarriesNoLease(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: 10 * time.Second}, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		lease, ch := h.deal(12 * tickPrice)
		s := h.session()
		_, err := h.pay(s, lease, ch, 8*tickPrice, 8*tickPrice, nil)
		h.check(err)
		try := func(want market.Code) {
			t.Helper()
			order := h.order(nil)
			_, quote, err := h.quote(order)
			h.check(err)
			began := time.Now()
			id, raw := h.lease(order, quote, ch, nil)
			if code, detail := h.decided(id, raw); code != want {
				t.Errorf("%s %s, want %s", code, detail, want)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %s to say so", took)
			}
		}
		try(market.CodeChannelTooSmall)
		until(t, "the first lease does not end",
			func() bool { return w.prov.Leases()[0].Lease.State >= market.Closing })
		try(market.CodeChannelTooSmall)
	})
}

// TestAdversary_LeasesAtOnce_KeepTheirShares: two leases decided at the same time, on a channel that just became final,
// both count.
func TestAdversary_LeasesAtOnce_KeepTheirShares(t *testing.T) {
	t.Parallel()
	simulate(t, twoClasses, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		ch, ids, codes := h.both(500_000_000)
		if codes[0] != "" || codes[1] != "" {
			t.Fatalf("refused: %v", codes)
		}
		s := h.session()
		for i, id := range ids {
			total := market.Amount(i+1) * 2 * tickPrice
			if stored, err := h.pay(s, id, ch, 2*tickPrice, total, nil); err != nil || stored != total {
				t.Errorf("lease %d: stored %d, %v", i, stored, err)
			}
		}
		for _, l := range w.prov.Leases() {
			if l.Lease.Paid != 2*tickPrice {
				t.Errorf("lease %s counts %d as paid", l.Lease.ID, l.Lease.Paid)
			}
		}
	})
}

// TestAdversary_LeasesAtOnce_OneHeadroom: a deposit that carries one lease does not carry two, however fast they come.
func TestAdversary_LeasesAtOnce_OneHeadroom(t *testing.T) {
	t.Parallel()
	simulate(t, twoClasses, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		_, _, codes := h.both(10 * tickPrice)
		if codes[0]+codes[1] != market.CodeChannelTooSmall {
			t.Errorf("decided %q", codes)
		}
	})
}

// twoClasses is a rig of two devices that are quoted apart.
var twoClasses = setup{devices: 2, classes: true, work: time.Hour}

// both proposes a lease on each device at once, on one new channel.
func (h *hand) both(deposit market.Amount) (ch market.ChannelID, ids [2]market.LeaseID, codes [2]market.Code) {
	h.t.Helper()
	var orders, quotes [2][]byte
	var q market.Quote
	for i, class := range []string{market.ClassCPU, "slot-1"} {
		orders[i] = h.order(func(o *market.Order) { o.Constraints = []market.Term{{Classes: []string{class}}} })
		var err error
		q, quotes[i], err = h.quote(orders[i])
		h.check(err)
	}
	ch = h.open(q, deposit, nil)
	var wg sync.WaitGroup
	for i := range ids {
		id, raw := h.lease(orders[i], quotes[i], ch, nil)
		ids[i] = id
		wg.Go(func() { codes[i], _ = h.decided(id, raw) })
	}
	wg.Wait()
	return ch, ids, codes
}

// TestAdversary_Release_OrALease_NotBoth: a channel without a lease is released at once, at nothing; no lease lives
// beside that Release.
func TestAdversary_Release_OrALease_NotBoth(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		h, other := w.newHand(t, 10), w.newHand(t, 11)
		order := h.order(nil)
		q, quote, err := h.quote(order)
		h.check(err)
		ch := h.open(q, 500_000_000, nil)
		if _, err := other.session().ReleaseRequest(context.Background(),
			ch); market.CodeOf(err) != market.CodeChannelUnknown {
			t.Errorf("another customer's channel: %v", err)
		}
		s := h.session()
		var b [114]byte
		until(t, "an unused channel is not released", func() bool { // the deposit must be final
			b, err = s.ReleaseRequest(context.Background(), ch)
			time.Sleep(50 * time.Millisecond)
			return err == nil
		})
		rel, err := escrow.ParseRelease(b[:])
		if err != nil || rel.Final != 0 || !rel.Verify(q.ReleaseKey) {
			t.Fatalf("release at %d: %v", rel.Final, err)
		}
		id, raw := h.lease(order, quote, ch, nil)
		if code, detail := h.decided(id, raw); code != market.CodeChannelUnfit {
			t.Errorf("a lease beside a release: %q %s", code, detail)
		}
		before := w.chain.Balance(h.Payer)
		h.check(h.Wallet.Submit(context.Background(),
			escrow.Intent{Op: escrow.OpFinish, Channel: ch, Nonce: uint64(rel.Expires), Release: &rel}))
		if got := w.chain.Balance(h.Payer) - before; got < 499_900_000 {
			t.Errorf("%d of 500,000,000 came back", got)
		}
		// And the other way round: with a live lease there is no release.
		lease, ch2 := h.deal(500_000_000)
		if _, err := s.ReleaseRequest(context.Background(), ch2); market.CodeOf(err) != market.CodeLeaseLive {
			t.Errorf("release beside lease %s: %v", lease, err)
		}
	})
}

// TestAdversary_Stop_CannotBlameTheRig: a Stop ends the lease under the customer's own name, whatever it says.
func TestAdversary_Stop_CannotBlameTheRig(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		h, other := w.newHand(t, 10), w.newHand(t, 11)
		id, _ := h.deal(500_000_000)
		stop := func(by *hand) error {
			raw, err := wire.SealStop(by.Key, h.Network,
				market.Stop{Lease: id, Code: market.CodeDeviceLost, At: w.clock.Now().Truncate(time.Millisecond)})
			h.check(err)
			return by.svc.Stop(context.Background(), w.ph.ID(), raw)
		}
		if err := stop(other); market.CodeOf(err) != market.CodeUnknownLease {
			t.Errorf("another customer's stop: %v", err)
		}
		h.check(stop(h))
		until(t, "the lease does not end", func() bool { return w.prov.Leases()[0].Lease.State >= market.Closing })
		if m := w.prov.Leases()[0].Lease; m.Code != market.CodeStopped || m.Fault != market.FaultCustomer {
			t.Errorf("ended as %s, fault %s", m.Code, m.Fault)
		}
	})
}
