package localnet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

const (
	rent384 = 3_563_520 // (128 + 384) × 6,960
	fee     = 5_000
)

// wantBalances compares exact balances of payer, payee and Channel.
func (c *chain) wantBalances(d *deal, when string, payer, payee, channel uint64) {
	c.t.Helper()
	if p, q, r := c.balance(pub(d.payer)), c.balance(pub(d.payee)), c.balance(d.id); p != payer || q != payee ||
		r != channel {
		c.t.Errorf("%s: payer %d, payee %d, channel %d; want %d, %d, %d", when, p, q, r, payer, payee, channel)
	}
}

func TestProgram_AllTen_ExactBalances(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	const start = 10_000_000_000
	d := c.plan(1_000_000_000)
	c.ok(one(d.payer), c.open(d))
	payer := uint64(start - fee - 1_000_000_000 - rent384)
	c.wantBalances(d, "open", payer, start, rent384+1_000_000_000)
	s := c.state(d.id)
	if s.Terms() != d.terms || s.Deposit != 1_000_000_000 || s.PayeeDest != d.terms.Payee ||
		s.PayerDest != d.terms.Payer || s.OpenedAt == 0 {
		t.Errorf("opened as %+v", s)
	}

	c.ok(one(d.payer), c.topUp(d, 1_500_000_000))
	payer -= fee + 500_000_000
	c.wantBalances(d, "top_up", payer, start, rent384+1_500_000_000)

	c.ok(one(d.relay), d.voucherIx(300_000_000), c.claim(d))
	c.wantBalances(d, "claim", payer, start+300_000_000, rent384+1_200_000_000)

	// The clock is read only for a voucher that can expire: that one's slot is kept.
	c.ok(one(d.relay), signed(d.voucher, message(0x56, d.id, 400_000_000, time.Now().Unix()+3600)), c.record(d))
	c.wantBalances(d, "record", payer, start+300_000_000, rent384+1_200_000_000)
	if s := c.state(d.id); s.Settled != 400_000_000 || s.Paid != 300_000_000 || s.VoucherSlot <= d.terms.OpenSlot ||
		s.VoucherSlot > c.slot() {
		t.Errorf("recorded as %+v", s)
	}
	c.ok(one(d.relay), c.payPayee(d))
	c.wantBalances(d, "pay_payee", payer, start+400_000_000, rent384+1_100_000_000)
	c.ok(one(d.relay), c.payPayee(d)) // 0 is a success that moves nothing
	c.wantBalances(d, "pay_payee again", payer, start+400_000_000, rent384+1_100_000_000)

	c.ok(one(d.payer), c.requestClose(d, pub(d.payer)))
	payer -= fee
	if s := c.state(d.id); s.Status != escrow.StatusClosing || s.Deadline < time.Now().Unix()+3590 {
		t.Errorf("closing as %+v", s)
	}
	c.ok(one(d.relay), d.voucherIx(450_000_000), c.claim(d)) // still a debt
	c.wantBalances(d, "claim in Closing", payer, start+450_000_000, rent384+1_050_000_000)
	if s := c.state(d.id); s.VoucherSlot != 0 {
		t.Errorf("slot %d of a voucher without expiry", s.VoucherSlot)
	}
	c.must(nil, "test_setClock", time.Now().Unix()+3700)
	c.ok(one(d.relay), c.seal(d), c.payPayee(d), c.payPayer(d))
	payer += 1_050_000_000
	c.wantBalances(d, "finish", payer, start+450_000_000, rent384)
	c.must(nil, "test_warp", escrow.ReopenWindow+1)
	c.ok(one(d.relay), c.reclaim(d))
	c.wantBalances(d, "reclaim", payer+rent384, start+450_000_000, 0)
	if b, _ := c.data(d.id); b != nil {
		t.Errorf("%d bytes are left", len(b))
	}
	if got := c.balance(pub(d.relay)); got != start-3*2*fee-4*fee {
		t.Errorf("relay holds %d", got)
	}

	// 6 release: everything in one transaction.
	e := c.opened(1_000_000_000)
	expires := time.Now().Unix() + 3700 + 600
	c.ok(one(e.payer), e.releaseMsg(250_000_000, expires), c.releaseIx(e, pub(e.payer)), c.payPayee(e), c.payPayer(e))
	c.wantBalances(e, "release", start-3*fee-250_000_000-rent384, start+250_000_000, rent384)
	if s := c.state(e.id); s.Status != escrow.StatusSealed || s.Settled != 250_000_000 || s.Refunded != 750_000_000 {
		t.Errorf("released as %+v", s)
	}
}

func TestCU_Gate(t *testing.T) {
	t.Parallel()
	c := newChain(t)
	d, e := c.plan(1_000_000_000), c.opened(1_000_000_000)
	far := time.Now().Unix() + 3700 + 600
	gate := func(name string, ceiling uint64, r result) {
		if t.Logf("%-14s %5d CU, ceiling %5d", name, r.cu, ceiling); r.cu > ceiling || r.cu == 0 {
			t.Errorf("%s: %d CU, ceiling %d", name, r.cu, ceiling)
		}
	}
	gate("open", 2200, c.ok(one(d.payer), c.open(d)))
	gate("top_up", 1700, c.ok(one(d.payer), c.topUp(d, 1_000_000_005)))
	gate("claim", 520, c.ok(one(d.relay), d.voucherIx(300_000_000), c.claim(d)))
	gate("record", 700, c.ok(one(d.relay), d.voucherIx(400_000_000), c.record(d)))
	gate("pay_payee", 700, c.ok(one(d.relay), c.payPayee(d)))
	gate("request_close", 700, c.ok(one(d.payer), c.requestClose(d, pub(d.payer))))
	c.must(nil, "test_setClock", time.Now().Unix()+3700)
	gate("seal", 700, c.ok(one(d.relay), c.seal(d)))
	gate("pay_payer", 700, c.ok(one(d.relay), c.payPayer(d)))
	gate("release", 1000, c.ok(one(e.payer), e.releaseMsg(1, far), c.releaseIx(e, pub(e.payer))))
	gate("consent", 700, func() result {
		f := c.opened(1_000_000_000)
		return c.ok(one(f.relay), f.releaseMsg(0, far), c.consent(f))
	}())
	gate("finish", 1600, func() result {
		f := c.opened(1_000_000_000)
		return c.ok(one(f.payer), f.releaseMsg(1, far), c.releaseIx(f, pub(f.payer)), c.payPayee(f), c.payPayer(f))
	}())
	c.must(nil, "test_warp", escrow.ReopenWindow+1)
	gate("reclaim", 2500, c.ok(one(d.relay), c.reclaim(d)))
}

func TestOpen_Refusals(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	for _, v := range []struct {
		name   string
		code   uint32
		change func(*deal)
	}{
		{"self-pay", escrow.CodeDuplicateAccount, func(d *deal) { d.payee = d.payer; d.terms.Payee = d.terms.Payer }},
		{"zero", escrow.CodeZeroAmount, func(d *deal) { d.deposit = 0 }},
		{"delay-599", escrow.CodeCloseDelayRange, func(d *deal) { d.terms.CloseDelay = 599 * time.Second }},
		{"delay-604801", escrow.CodeCloseDelayRange, func(d *deal) { d.terms.CloseDelay = 604_801 * time.Second }},
		{"slot-ahead", escrow.CodeSlotWindow, func(d *deal) { d.terms.OpenSlot += 100 }},
		{"slot-max", escrow.CodeSlotWindow, func(d *deal) { d.terms.OpenSlot = 1<<64 - 1 }},
		{"off-curve", escrow.CodeBadVoucherKey, func(d *deal) {
			for k := byte(2); escrow.OnCurve(d.terms.VoucherKey); k++ {
				d.terms.VoucherKey = addr{k}
			}
		}},
		{"deposit-max", escrow.CodeOverflow, func(d *deal) { d.deposit = 1<<64 - 1 }},
		{"funds", 1, func(d *deal) { d.deposit = 11_000_000_000 }}, // System's own code
	} {
		t.Run(v.name, func(t *testing.T) {
			c := root.with(t)
			d := c.plan(1_000_000_000)
			v.change(d)
			c.place(d)
			c.refused(v.code, one(d.payer), c.open(d))
			if got := c.balance(d.id); got != 0 {
				t.Errorf("channel holds %d", got)
			}
		})
	}
	for _, s := range []time.Duration{600, 604_800} {
		d := root.plan(1)
		d.terms.CloseDelay = s * time.Second
		root.place(d)
		root.ok(one(d.payer), root.open(d))
	}
	d := root.plan(1_000_000)
	wrong := *d
	wrong.id = addr{5} // not the address of the terms
	if r := root.send(one(d.payer), root.open(&wrong)); r.err == "" || !strings.HasSuffix(r.err, "@0") {
		t.Errorf("open at a foreign address: %q", r.err)
	}
	root.ok(one(d.payer), root.open(d))
	if r := root.send(one(d.payer), root.open(d)); r.err == "" {
		t.Error("opened twice")
	}
	if s := root.state(d.id); s.Deposit != 1_000_000 {
		t.Errorf("deposit %d after a second open", s.Deposit)
	}
}

func TestOpen_Prefunded(t *testing.T) {
	t.Parallel()
	root := newChain(t)
	for _, pre := range []uint64{890_880, rent384, rent384 + 1_000_000, rent384 + 2_000_000} {
		t.Run(fmt.Sprint(pre), func(t *testing.T) {
			c := root.with(t)
			d := c.plan(1_000_000)
			c.ok(one(d.relay), transfer(pub(d.relay), d.id, pre))
			c.ok(one(d.payer), c.open(d))
			need := uint64(rent384 + 1_000_000)
			if got, want := c.balance(pub(d.payer)), 10_000_000_000-fee-(need-min(pre, need)); got != want {
				t.Errorf("payer holds %d, want %d", got, want)
			}
			if s := c.state(d.id); s.Deposit != 1_000_000 {
				t.Errorf("deposit %d: a gift was credited", s.Deposit)
			}
		})
	}
}
