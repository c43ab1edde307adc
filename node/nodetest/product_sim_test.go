package nodetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
)

// backend is the API's side of a running node, as its process has it.
func (s *side) backend(t *testing.T) *node.Backend {
	t.Helper()
	b, err := node.NewBackend(s.node, s.options(t), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNode_OffersBeforeTheRole_AreInTheBook: what gossip and sync bring while the customer's role is still built is
// there when it is, though its rig does not say it again.
func TestNode_OffersBeforeTheRole_AreInTheBook(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		w.stopCust()
		w.c.deps.Customer = func(c *customer.Config) {
			time.Sleep(20 * time.Second) // a slow machine
			w.tuneCustomer(c)
		}
		began := time.Now()
		w.startCustomer(t)
		if took := time.Since(began); took < 20*time.Second {
			t.Fatalf("the role was there after %s", took)
		}
		time.Sleep(time.Second)
		if n := len(w.cust.Book.Offers()); n != 1 {
			t.Errorf("%d offers", n)
		}
	})
}

// TestNode_EveryEndpointDown_JobsGoOn: both nodes start while no endpoint answers, with a job that runs: they know
// their ledger from the last start, the job goes on, and all is settled once the ledger is back.
func TestNode_EveryEndpointDown_JobsGoOn(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 3 * time.Minute}, func(t *testing.T, w *world) {
		before := w.chain.Balance(w.payout)
		id := w.place(t, request("dark"))
		v := w.await(t, id, running)
		w.chain.Down(true)
		w.stopProv()
		w.stopCust()
		w.startProvider(t)
		w.startCustomer(t)
		paid := v.Lease.Paid
		w.await(t, id, func(v customer.View) bool { return running(v) && v.Lease.Paid > paid+2*tickPrice })
		w.chain.Down(false)
		w.exact(t, w.await(t, id, over), "completed", before)
		if n := w.engine.Started(); n != 1 {
			t.Errorf("the job was started %d times", n)
		}
	})
}

// TestNode_LedgerNeverSeen_RolesWait: a new node on a local network whose ledger does not answer listens and says what
// it waits for; its roles come with the first answer.
func TestNode_LedgerNeverSeen_RolesWait(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		w.chain.Down(true)
		s := newSide(t, "customer", 9, map[string]string{"node.network": "localnet-test",
			"solana.rpc": "http://simulated", "p2p.bootstrap": w.ph.FullAddrs()[0]})
		s.deps = node.Deps{Clock: w.clock, Chain: Cluster{w.chain, w.account}}
		n, serve, ended := w.node(t, s)
		ready := make(chan struct{})
		t.Cleanup(serveUntil(t, func(ctx context.Context) error { defer ended(); return serve(ctx, ready) }))
		<-n.Waiting()
		b := s.backend(t)
		time.Sleep(10 * time.Second)
		st, err := b.Status(t.Context())
		if err != nil || st.Notice == "" || st.Peers == 0 || st.Wallet != "" {
			t.Errorf("%+v, %v", st, err)
		}
		if _, err := b.Offers(t.Context(), market.Sort{}); market.CodeOf(err) != market.CodeChainUnreachable {
			t.Errorf("offers: %v", err)
		}
		if list, err := b.Orders(t.Context(), api.OrderQuery{All: true}); err != nil || len(list) != 0 {
			t.Errorf("orders: %v, %v", list, err)
		}
		w.chain.Down(false)
		<-ready
		time.Sleep(time.Second)
		list, err := b.Offers(t.Context(), market.Sort{})
		if st, _ = b.Status(t.Context()); err != nil || len(list) != 1 || st.Notice != "" || st.Wallet == "" {
			t.Errorf("%v, %v; %+v", list, err, st)
		}
	})
}

// TestNode_BothRoles_RestartInTheMiddle: two nodes that each sell to the other start again under two running jobs; both
// end exactly.
func TestNode_BothRoles_RestartInTheMiddle(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 2 * time.Minute}, func(t *testing.T, w *world) {
		w.stopProv()
		w.stopCust()
		w.bothRoles(t)
		restart := func() (seller, buyer *node.Node) {
			w.startProvider(t)
			w.startCustomer(t)
			return w.p.node, w.c.node
		}
		a, b := restart()
		there, back := request("there"), request("back")
		there.File.Placement.Providers, back.File.Placement.Providers = []market.NodeID{w.ph.ID()},
			[]market.NodeID{w.ch.ID()}
		ids := map[bool]market.OrderID{true: w.place(t, there)}
		until(t, "the other's offer does not come", func() bool { return len(a.Customer().Book.Offers()) == 2 })
		id, err := a.Customer().Place(t.Context(), back)
		if err != nil {
			t.Fatal(err)
		}
		ids[false] = id
		view := func(here bool) customer.View {
			c := a.Customer()
			if here {
				c = b.Customer()
			}
			v, err := c.Order(ids[here].String())
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		until(t, "the jobs do not run", func() bool { return running(view(true)) && running(view(false)) })
		w.stopProv()
		w.stopCust()
		a, b = restart()
		for _, here := range []bool{true, false} {
			until(t, "a job does not end", func() bool { return over(view(here)) && view(here).Finished })
			v := view(here)
			if v.Code != market.CodeCompleted || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit ||
				v.Paid < 120*second {
				t.Errorf("%s %s: paid %d of %d, returned %d of %d", v.Code, v.Detail, v.Paid, v.Lease.Claim, v.Returned,
					v.Deposit)
			}
		}
		if a.Provider().View().Live+b.Provider().View().Live != 0 || w.chain.Total() != 0 {
			t.Errorf("leases live on, or the ledger lost %d", w.chain.Total())
		}
	})
}

// bothRoles makes both sides sell and buy from their next start on.
func (w *world) bothRoles(t *testing.T) {
	t.Helper()
	payer := addr("wallet")
	w.chain.Fund(payer, 100_000_000_000)
	w.accounts = map[market.Address]*escrowtest.Ledger{payer: w.chain.Ledger(payer)}
	w.p.keypair(t, "spending", 'w'+'t')
	w.p.set["node.roles"], w.c.set["node.roles"] = "provider,customer", "provider,customer"
	for key, value := range w.p.set {
		if key == "provider.payout" {
			value = addr("own").String()
			w.chain.Fund(addr("own"), 1_000_000)
		}
		if _, has := w.c.set[key]; !has {
			w.c.set[key] = value
		}
	}
	w.c.deps.Devices, w.c.deps.HandOver = w.devices, w.p.deps.HandOver
	w.c.deps.Engine = w.p.deps.Engine // jobs of both are told apart by their leases
}

// TestNode_HotKeys_ReachTheMarket: a rate and a pause that are set at the API of a running node are in its file, and in
// the book of a customer.
func TestNode_HotKeys_ReachTheMarket(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		b := w.p.backend(t)
		time.Sleep(time.Minute) // Offers are at least 10 s apart
		set := func(key, value string) {
			t.Helper()
			restart, err := b.PatchConfig(t.Context(), api.SettingsPatch{Set: map[string]string{key: value}})
			if err != nil || len(restart) != 0 {
				t.Fatalf("%s: %v, %v", key, restart, err)
			}
		}
		set("provider.rate", "3.9/h")
		until(t, "the new rate is not heard", func() bool {
			o := w.cust.Book.Offers()
			return len(o) == 1 && o[0].Groups[0].Rates[0] == 3_900_000_000
		})
		set("provider.sell", "false")
		until(t, "the rig is still offered", func() bool { return len(w.cust.Book.Offers()) == 0 })
		c, err := b.Config(t.Context())
		i := slices.IndexFunc(c.Settings, func(s api.Setting) bool { return s.Key == "provider.rate" })
		if err != nil || i < 0 || c.Settings[i].Value != "3.9/h" || c.Settings[i].From != "file" {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// listener is a role that this program does not know.
type listener struct {
	loaded chan struct{}
	mu     sync.Mutex
	heard  map[market.NodeID]bool
}

func (l *listener) Serve(ctx context.Context) error {
	close(l.loaded)
	<-ctx.Done()
	return ctx.Err()
}

func (l *listener) Loaded() <-chan struct{} { return l.loaded }

func (l *listener) Offer(o market.Offer, _ []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[o.Provider] = true
}

// State adds to the status, as the roles of this program do.
func (l *listener) State(s *api.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Notice = "listening"
}

func (l *listener) all() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard)
}

// TestNode_AnotherRole_IsOneMoreGuest: a kind of role is added beside the customer's, which knows nothing of it: both
// hear all Offers, and both are in the status.
func TestNode_AnotherRole_IsOneMoreGuest(t *testing.T) {
	t.Parallel()
	simulate(t, setup{}, func(t *testing.T, w *world) {
		w.stopCust()
		l := &listener{loaded: make(chan struct{}), heard: map[market.NodeID]bool{}}
		w.c.roles = []string{"listener"}
		w.c.deps.Guests = []node.Guests{{Name: "listener",
			Build: func(_ context.Context, s *node.Site) (node.Role, error) {
				s.Offers.Attach(l)
				return l, nil
			}}}
		w.startCustomer(t)
		until(t, "somebody hears no offer", func() bool { return l.all() == 1 && len(w.cust.Book.Offers()) == 1 })
		st, err := w.c.backend(t).Status(t.Context())
		if err != nil || st.Notice != "listening" || st.Offers != 1 {
			t.Errorf("%+v, %v", st, err)
		}
		if got, err := node.Guest[*listener](w.c.node, "listener"); err != nil || got != l {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := node.Guest[node.Seller](w.c.node, "provider"); market.CodeOf(err) != market.CodeRoleOff {
			t.Errorf("a role that is off: %v", err)
		}
	})
}
