package nodetest

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// public is a third node that listens to the market's ends.
type public struct {
	s *offers.Service

	mu   sync.Mutex
	ends []wire.Outcomes
}

func (p *public) Offer(market.Offer, []byte) {}

func (p *public) Outcome(o market.Outcome, provider, customer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = append(p.ends, wire.Outcomes{Outcome: o, Provider: provider, Customer: customer})
}

func (p *public) heard() []wire.Outcomes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends
}

// listen starts such a node.
func (w *world) listen(t *testing.T) *public {
	t.Helper()
	h := w.net.Start(t, p2p.Config{Key: p2ptest.Key(9), Bootstrap: w.ph.FullAddrs()})
	p := &public{}
	p.s = offers.New(h, nil, p)
	p2ptest.Serve(t, p.s.Serve)
	until(t, "the third node hears no offer", func() bool { return p.s.Stats().Offers == 1 })
	return p
}

// TestOutcome_ThirdHearsOnce: when a lease is over, somebody who has nothing to do with it hears once what was leased,
// for how much and how it ended, with both signatures, and the figures are those of the two sides and of the chain.
func TestOutcome_ThirdHearsOnce(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 20 * time.Second}, func(t *testing.T, w *world) {
		third, before := w.listen(t), w.chain.Balance(w.payout)
		v := w.await(t, w.place(t, request("told")), over)
		w.exact(t, v, market.CodeCompleted, before)
		until(t, "nobody is told", func() bool { return len(third.heard()) > 0 })
		time.Sleep(5 * time.Minute)
		all := third.heard()
		if len(all) != 1 {
			t.Fatalf("heard %d times", len(all))
		}
		o := all[0].Outcome
		want := market.Deal{Class: market.ClassCPU, Rate: 3_600_000_000, Devices: 1, Channel: v.Channel, Payer: w.payer,
			Payee: w.payout, Provider: w.ph.ID(), Customer: w.ch.ID(), Bind: o.Deal.Bind}
		states, err := w.chain.Ledger(w.payer).Channels(t.Context(), []market.ChannelID{v.Channel}, escrow.Confirmed)
		if err != nil || len(states) != 1 ||
			!escrow.Bound(states[0].VoucherKey, want.Customer, v.Channel, want.Bind) {
			t.Errorf("%v: the customer is not bound to the channel of %+v", err, states)
		}
		if o.Deal != want || o.Lease != v.Lease.ID || o.Amount != v.Paid || o.Code != market.CodeCompleted ||
			o.BillableMS != v.Lease.ClaimMS || o.OutputsRoot == ([32]byte{}) {
			t.Errorf("heard %+v, paid %d", o, v.Paid)
		}
		pair, err := wire.JoinOutcomes(all[0].Provider, all[0].Customer, p2ptest.Network)
		if err == nil {
			err = pair.Verify(p2ptest.Network)
		}
		if err != nil {
			t.Errorf("the two envelopes: %v", err)
		}
	})
}

// TestOutcome_Private_NobodyHears: the order's word, or the rig's owner's, keeps both sides silent; what they sign for
// each other names no deal, so neither could tell it alone. The money is the same.
func TestOutcome_Private_NobodyHears(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{
		"order": {work: 20 * time.Second},
		"rig":   {work: 20 * time.Second, change: func(p *provider.Config, _ *customer.Config) { p.Private = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, s, func(t *testing.T, w *world) {
				third, before := w.listen(t), w.chain.Balance(w.payout)
				r := request("private")
				if name == "order" {
					r.File.Outcome = spec.OutcomePrivate
				}
				v := w.await(t, w.place(t, r), over)
				w.exact(t, v, market.CodeCompleted, before)
				time.Sleep(20 * time.Minute)
				if n := len(third.heard()); n > 0 {
					t.Errorf("heard %d times", n)
				}
				for _, raw := range [][]byte{v.Outcome, v.OwnOutcome} {
					o, _, err := wire.OpenOutcome(raw, p2ptest.Network)
					if err != nil || o.Deal != (market.Deal{}) || o.Amount != v.Paid {
						t.Errorf("signed %+v, %v", o, err)
					}
				}
			})
		})
	}
}

// TestOutcome_ProviderDiesAtTheAgreement: the commit that makes a lease signed by both holds what is to be told: a rig
// that dies right after it tells at its next start, even if its customer is never heard again; one that dies right
// before it does once the customer has repeated itself.
func TestOutcome_ProviderDiesAtTheAgreement(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, setup{work: 10 * time.Second}, func(t *testing.T, w *world) {
				third := w.listen(t)
				w.cust.Ends = nil // the provider's telling alone is heard
				w.sw.noOutcome.Store(true)
				id := w.place(t, request("dies"))
				v := w.await(t, id, in(market.Closing))
				until(t, "the provider is not as far", func() bool {
					l := w.sold(t, v)
					return l.State == market.Closing && w.ownOutcome(t, l.ID)
				})
				time.Sleep(time.Minute) // all that follows from its end is stored
				d := w.dieAgreed(t)
				w.sw.noOutcome.Store(false)
				<-d.hit
				w.sw.noOutcome.Store(kept)
				time.AfterFunc(time.Second, d.let)
				w.stopProv()
				if err := w.pstore.Close(); err != nil {
					t.Fatal(err)
				}
				file := d.was
				if kept {
					file = d.is
				}
				if err := os.WriteFile(w.files["p"], file, 0o600); err != nil {
					t.Fatal(err)
				}
				w.pstore = w.openStore(t, "p")
				heard := len(third.heard())
				w.startProvider(t)
				until(t, "nobody is told", func() bool { return len(third.heard()) > heard })
				if o := third.heard()[0].Outcome; o.Lease != v.Lease.ID || heard > 0 {
					t.Errorf("heard %d before the start, then %+v", heard, o)
				}
			})
		})
	}
}

// ownOutcome reports whether the provider has signed how a lease ended.
func (w *world) ownOutcome(t *testing.T, id market.LeaseID) bool {
	t.Helper()
	for _, l := range w.prov.Leases() {
		if l.Lease.ID == id {
			return l.Outcome != nil
		}
	}
	return false
}

// dieAgreed arms the provider's store: its node ends at the commit that holds the first Outcome to be told.
func (w *world) dieAgreed(t *testing.T) *death {
	t.Helper()
	d := &death{hit: make(chan struct{}), free: make(chan struct{})}
	d.let = sync.OnceFunc(func() { close(d.free) })
	read := func() []byte {
		b, err := os.ReadFile(w.files["p"])
		if err != nil {
			panic(err)
		}
		return b
	}
	copied := filepath.Join(t.TempDir(), "copy", "state.db")
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	tells := func(file []byte) (n int) {
		err := os.WriteFile(copied, file, 0o600)
		if err == nil {
			var s *store.Store
			if s, err = store.Open(copied); err == nil {
				err = errors.Join(s.Scan(store.BucketOutcomes, nil, func(_, _ []byte) error { n++; return nil }),
					s.Close())
			}
		}
		if err != nil {
			panic(err)
		}
		return n
	}
	d.is = read()
	w.pstore.OnCommit(func(time.Duration) {
		select {
		case <-d.hit:
			return
		default:
		}
		d.was, d.is = d.is, read()
		if tells(d.is) > 0 {
			close(d.hit)
			<-d.free
		}
	})
	return d
}

// TestOutcome_NeverReady_IsHeard: how a lease ended that cost nothing is public, too: it says how often a rig does not
// come to run what it took.
func TestOutcome_NeverReady_IsHeard(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: time.Minute}, func(t *testing.T, w *world) {
		third := w.listen(t)
		w.engine.Hold(true)
		id := w.place(t, request("unready"))
		v := w.await(t, id, in(market.Preparing))
		if err := w.cust.StopOrder(t.Context(), id.String(), false); err != nil {
			t.Fatal(err)
		}
		w.await(t, id, over)
		until(t, "nobody is told", func() bool { return len(third.heard()) > 0 })
		o := third.heard()[0].Outcome
		if o.Lease != v.Lease.ID || o.Amount != 0 || o.BillableMS != 0 || !o.Ready.IsZero() ||
			o.Code != market.CodeStopped {
			t.Errorf("heard %+v", o)
		}
	})
}
