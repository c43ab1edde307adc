package nodetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// limited is a rig with the limits on strangers that a real one has.
func limited(p *provider.Config, _ *customer.Config) { p.Policy.PayerStarts = 3 }

// refusedBy fails unless err is a refusal of that code that names the rule.
func refusedBy(t *testing.T, err error, code market.Code, rule string) *market.Refusal {
	t.Helper()
	var r *market.Refusal
	if !errors.As(err, &r) || r.Code != code || !strings.HasPrefix(r.Detail, rule) {
		t.Fatalf("got %v, want %s by %s", err, code, rule)
	}
	return r
}

// TestStranger_FirstTickPrepaid_WorkWaitsForIt: the Quote for a new customer asks for one tick ahead, and its job
// stands still, unbilled, until that is signed; a customer that has paid is asked for none.
func TestStranger_FirstTickPrepaid_WorkWaitsForIt(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 20 * time.Second, change: limited}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		w.sw.noPay.Store(true)
		id := w.place(t, request("new"))
		v := w.await(t, id, in(market.Paused))
		m := w.sold(t, v)
		if !m.Terms.Prepay || m.Cause != market.CauseUnpaid || m.Owed() != 0 || m.Paid != 0 {
			t.Errorf("prepay %v, %s, owed %d, paid %d", m.Terms.Prepay, m.Cause, m.Owed(), m.Paid)
		}
		w.sw.noPay.Store(false)
		v = w.await(t, id, running)
		if m := w.sold(t, v); m.Paid != tickPrice {
			t.Errorf("it runs with %d paid ahead, a tick is %d", m.Paid, tickPrice)
		}
		w.exact(t, w.await(t, id, over), market.CodeCompleted, before)
		w.freeAgain(t, 1)
		v = w.await(t, w.place(t, request("known")), over)
		if m := w.sold(t, v); v.Code != market.CodeCompleted || m.Terms.Prepay {
			t.Errorf("the second order ended %s, prepay %v", v.Code, m.Terms.Prepay)
		}
	})
}

// TestStranger_OneLeaseUntilItsFirstTickIsPaid: also where two were quoted before, and by payer as by node key. Others
// are not held up.
func TestStranger_OneLeaseUntilItsFirstTickIsPaid(t *testing.T) {
	t.Parallel()
	const rule = "limits.payer_starts: one lease at a time"
	simulate(t, setup{devices: 3, work: time.Hour, change: limited}, func(t *testing.T, w *world) {
		w.engine.Hold(true) // a long preparation
		h, other := w.newHand(t, 10), w.newHand(t, 11)
		order := h.order(nil)
		q, quote, err := h.quote(order)
		h.check(err)
		ch := h.open(q, 500_000_000, nil)
		first, ch1 := h.deal(500_000_000)
		id, raw := h.lease(order, quote, ch, nil)
		if code, detail := h.decided(id, raw); code != market.CodeBusy || !strings.HasPrefix(detail, rule) {
			t.Errorf("a second lease, quoted before: %s %s", code, detail)
		}
		_, _, err = h.quote(h.order(nil))
		if r := refusedBy(t, err, market.CodeBusy, rule); r.RetryAfter <= 0 {
			t.Error("it does not say when to ask again")
		}
		_, _, err = h.quote(h.order(func(o *market.Order) { o.Payer = other.Payer }))
		refusedBy(t, err, market.CodeBusy, rule) // the same node with another payer
		_, _, err = other.quote(other.order(func(o *market.Order) { o.Payer = h.Payer }))
		refusedBy(t, err, market.CodeBusy, rule) // the same payer from another node
		if _, _, err = other.quote(other.order(nil)); err != nil {
			t.Errorf("another customer is refused: %v", err)
		}
		w.engine.Hold(false)
		if _, err := h.pay(h.session(), first, ch1, tickPrice, tickPrice, nil); err != nil {
			t.Fatal(err)
		}
		until(t, "a paid tick does not lift it", func() bool { _, _, err := h.quote(h.order(nil)); return err == nil })
	})
}

// TestStranger_TwoOrdersAtOnce_SecondWaits: what a new customer orders beside its first job starts by itself once that
// has paid a tick.
func TestStranger_TwoOrdersAtOnce_SecondWaits(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: 20 * time.Second, change: limited}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		ids := []market.OrderID{w.place(t, request("a")), w.place(t, request("b"))}
		var sum market.Amount
		for _, id := range ids {
			v := w.await(t, id, func(v customer.View) bool { return over(v) && v.Finished })
			if v.Code != market.CodeCompleted || v.Paid != 20*second {
				t.Errorf("%s %s %s: paid %d, claim %d; %+v", v.Standing, v.Code, v.Detail, v.Paid, v.Lease.Claim,
					v.Steps)
			}
			sum += v.Paid
		}
		if got := w.chain.Balance(w.payout) - before; got != sum {
			t.Errorf("payout got %d of %d", got, sum)
		}
	})
}

// TestStranger_LeasesAtOnce_OneIsTaken: however fast they come, the rule is asked where devices are reserved.
func TestStranger_LeasesAtOnce_OneIsTaken(t *testing.T) {
	t.Parallel()
	simulate(t, twoClasses, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		pol := w.pc.Policy
		pol.PayerStarts = 3
		w.prov.SetPolicy(pol)
		w.engine.Hold(true)
		if _, _, codes := h.both(500_000_000); codes[0]+codes[1] != market.CodeBusy {
			t.Errorf("decided %q", codes)
		}
	})
}

// missing is an order of an image that is not there: a preparation that nobody pays for.
func missing(key string) customer.Request {
	r := request(key)
	r.Image.Ref = "missing"
	return r
}

// TestStranger_ThreeUnpaidStartsAnHour_FourthIsRefused: the refusal says until when, restarts of the provider forget
// nothing, and nobody else is held up: not another customer, and not the payer that somebody else names.
func TestStranger_ThreeUnpaidStartsAnHour_FourthIsRefused(t *testing.T) {
	t.Parallel()
	const rule = "limits.payer_starts: 3 starts"
	simulate(t, setup{work: time.Second, change: limited}, func(t *testing.T, w *world) {
		for _, key := range []string{"a", "b", "c"} {
			w.freeAgain(t, 1)
			if v := w.await(t, w.place(t, missing(key)), over); v.Code != market.CodeImageNotFound ||
				v.Returned != v.Deposit {
				t.Fatalf("%s %s, returned %d of %d", v.Code, v.Detail, v.Returned, v.Deposit)
			}
		}
		w.stopProv()
		w.startProvider(t)
		until(t, "the rig does not sell again", func() bool { return w.prov.View().Selling })
		w.freeAgain(t, 1)
		v := w.await(t, w.place(t, request("d")), over)
		if v.Code != market.CodeQuoteRefused || !strings.Contains(v.Detail, rule) ||
			!strings.Contains(v.Detail, " UTC, in ") ||
			!strings.Contains(v.Hint, "--exclude "+w.ph.ID().String()) || v.Deposit != 0 {
			t.Errorf("%s: %s; %s; deposit %d", v.Code, v.Detail, v.Hint, v.Deposit)
		}
		h := w.newHand(t, 10)
		_, _, err := h.quote(h.order(func(o *market.Order) { o.Payer = w.payer }))
		if r := refusedBy(t, err, market.CodePolicy, rule); r.RetryAfter <= 50*time.Minute || r.RetryAfter > time.Hour {
			t.Errorf("ask again in %s", r.RetryAfter)
		}
		// Naming another's payer, the hand has failed nothing: its own orders are taken, up to its own three.
		h.deal(500_000_000)
	})
}

// TestStranger_PaidOnce_StartsAreNotLimited: who has paid a tick may try as often as it likes, though not what is only
// signed ahead.
func TestStranger_PaidOnce_StartsAreNotLimited(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour, change: limited}, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		ended := func(id market.LeaseID) func() bool {
			return func() bool {
				return slices.ContainsFunc(w.prov.Leases(), func(l provider.LeaseView) bool {
					return l.Lease.ID == id && l.Lease.State >= market.Closing
				})
			}
		}
		fails := func() {
			order := h.order(func(o *market.Order) { o.Image = "missing@sha256:" + strings.Repeat("a", 64) })
			q, quote, err := h.quoteFree(order)
			h.check(err)
			id, raw := h.lease(order, quote, h.open(q, 500_000_000, nil), nil)
			if code, detail := h.decided(id, raw); code != "" {
				t.Fatalf("refused: %s %s", code, detail)
			}
			until(t, "the lease does not end", ended(id))
		}
		fails()
		fails()
		_, _, err := h.quoteFree(h.order(nil))
		h.check(err)
		id, ch := h.deal(500_000_000)
		if _, err := h.pay(h.session(), id, ch, 20*tickPrice, 20*tickPrice, nil); err != nil {
			t.Fatal(err)
		}
		until(t, "no tick is owed", func() bool { return w.prov.Leases()[2].Lease.Owed() > tickPrice })
		h.check(h.end(id))
		until(t, "the paid lease does not end", ended(id))
		for range 3 {
			fails()
		}
		if q, _, err := h.quoteFree(h.order(nil)); err != nil || q.Prepay != 0 {
			t.Errorf("prepay %d, %v", q.Prepay, err)
		}
	})
}

// quoteFree asks until the device is free again, which it is right after a lease's end.
func (h *hand) quoteFree(order []byte) (q market.Quote, raw []byte, err error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if q, raw, err = h.quote(order); market.CodeOf(err) != market.CodeDoesNotFit {
			break
		}
	}
	return q, raw, err
}

// end asks for the end of a lease.
func (h *hand) end(id market.LeaseID) error {
	raw, err := wire.SealStop(h.Key, h.Network,
		market.Stop{Lease: id, Code: market.CodeStopped, At: h.Now().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	return h.svc.Stop(context.Background(), h.w.ph.ID(), raw)
}

// TestPayerDevices_HoldAtMostSoMany: of all leases of a payer together, counted when devices are reserved too; free
// again with the lease's end.
func TestPayerDevices_HoldAtMostSoMany(t *testing.T) {
	t.Parallel()
	const rule = "limits.payer_devices: a payer has at most 2"
	simulate(t, setup{devices: 4, work: time.Hour,
		change: func(p *provider.Config, _ *customer.Config) { p.Policy.PayerDevices = 2 }},
		func(t *testing.T, w *world) {
			h, other := w.newHand(t, 10), w.newHand(t, 11)
			_, _, err := h.quote(h.order(func(o *market.Order) { o.Devices = 3 }))
			refusedBy(t, err, market.CodePolicy, rule)
			order := h.order(func(o *market.Order) { o.Devices = 2 })
			q, quote, err := h.quote(order)
			h.check(err)
			ch := h.open(q, 500_000_000, nil)
			h.deal(500_000_000)
			id, raw := h.lease(order, quote, ch, nil)
			if code, detail := h.decided(id, raw); code != market.CodePolicy || !strings.HasPrefix(detail, rule) {
				t.Errorf("two more, quoted before: %s %s", code, detail)
			}
			second, _ := h.deal(500_000_000)
			_, _, err = h.quote(h.order(nil))
			refusedBy(t, err, market.CodePolicy, rule)
			if _, _, err := other.quote(other.order(func(o *market.Order) { o.Devices = 2 })); err != nil {
				t.Errorf("another payer: %v", err)
			}
			h.check(h.end(second))
			until(t, "the end of a lease does not free its device",
				func() bool { _, _, err := h.quote(h.order(nil)); return err == nil })
		})
}

func rules(t *testing.T, names ...string) (out []spec.ImageRule) {
	t.Helper()
	for _, s := range names {
		r, err := spec.ParseImageRule(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestImages_RuledAtTheQuoteAndAtTheLease: a denied image gets no Quote, an image that is denied meanwhile no lease,
// though its Quote is out.
func TestImages_RuledAtTheQuoteAndAtTheLease(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Second}, func(t *testing.T, w *world) {
		h := w.newHand(t, 10)
		pinned := func(name string) []byte {
			return h.order(func(o *market.Order) { o.Image = name + "@sha256:" + strings.Repeat("a", 64) })
		}
		pol := w.pc.Policy
		pol.Allow, pol.Deny = rules(t, "docker.io/library", "ghcr.io/me"), rules(t, "python", "ghcr.io/me/bad")
		w.prov.SetPolicy(pol)
		for image, rule := range map[string]string{
			"docker.io/library/python:3":     "provider.deny_images: this rig does not run docker.io/library/python",
			"python":                         "provider.deny_images",
			"index.docker.io/library/python": "provider.deny_images", "ghcr.io/me/bad/x": "provider.deny_images",
			"ghcr.io/you/x":         "provider.allow_images: this rig runs only docker.io/library, ghcr.io/me",
			"docker.io/librarian/x": "provider.allow_images", "No Name": "provider.allow_images",
		} {
			_, _, err := h.quote(pinned(image))
			refusedBy(t, err, market.CodePolicy, rule)
		}
		order := pinned("debian:13")
		q, quote, err := h.quote(order)
		h.check(err)
		pol.Deny = rules(t, "debian")
		w.prov.SetPolicy(pol)
		id, raw := h.lease(order, quote, h.open(q, 500_000_000, nil), nil)
		if code, detail := h.decided(id, raw); code != market.CodePolicy ||
			detail != "provider.deny_images: this rig does not run docker.io/library/debian" {
			t.Errorf("%s %s", code, detail)
		}
	})
}

// TestPrice_Changed_NewOfferOldQuoteBinds: the new rate is in a newer Offer without a restart, and a Quote that is out
// keeps its own.
func TestPrice_Changed_NewOfferOldQuoteBinds(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Hour}, func(t *testing.T, w *world) {
		old := w.cust.Book.Offers()[0]
		h := w.newHand(t, 10)
		order := h.order(nil)
		q, quote, err := h.quote(order)
		h.check(err)
		pol := w.pc.Policy
		pol.Rate, pol.Rates = 9_000_000_000, map[string]market.Rate{market.ClassCPU: 3_700_000_000}
		w.prov.SetPolicy(pol)
		until(t, "the new price is not offered", func() bool {
			o := w.cust.Book.Offers()[0]
			return o.Seq > old.Seq && len(o.Groups) == 1 && o.Groups[0].Rates[0] == 3_700_000_000
		})
		id, raw := h.lease(order, quote, h.open(q, 500_000_000, nil), nil)
		if code, detail := h.decided(id, raw); code != "" {
			t.Fatalf("the old quote: %s %s", code, detail)
		}
		if m := w.prov.Leases()[0].Lease; m.Terms.Rate != q.Rate || q.Rate != w.pc.Policy.Rate {
			t.Errorf("leased at %d, quoted %d", m.Terms.Rate, q.Rate)
		}
	})
}

// TestPolicy_RefusedLease_SignedDecision: the answer to a refused Lease is the provider's signed word, with its time to
// wait.
func TestPolicy_RefusedLease_SignedDecision(t *testing.T) {
	t.Parallel()
	simulate(t, setup{devices: 2, work: time.Hour, change: limited}, func(t *testing.T, w *world) {
		w.engine.Hold(true)
		h := w.newHand(t, 10)
		order := h.order(nil)
		q, quote, err := h.quote(order)
		h.check(err)
		ch := h.open(q, 500_000_000, nil)
		h.deal(500_000_000)
		id, raw := h.lease(order, quote, ch, nil)
		h.decided(id, raw)
		s, err := h.svc.Status(context.Background(), w.ph.ID(), id)
		h.check(err)
		d, env, err := wire.OpenDecision(s.Decision, h.Network)
		h.check(err)
		if env.Signer != w.ph.ID() || d.Accepted || d.Lease != id || d.Code != market.CodeBusy ||
			d.RetryAfter != w.pc.Tick ||
			d.Detail != s.Detail {
			t.Errorf("%+v", d)
		}
	})
}
