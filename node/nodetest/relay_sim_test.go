package nodetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// behindRelay starts a relay and has both nodes know it alone: the rig tells the world no address of its own.
func (w *world) behindRelay(t *testing.T) {
	t.Helper()
	s := newSide(t, "relay", 77, map[string]string{"node.network": p2ptest.Network, "node.roles": "[]",
		"p2p.infra": "true", "p2p.public_rules": "true", "solana.rpc": "http://simulated"})
	if c := w.setup.circuit; c[0] != "" {
		s.set["p2p.relay_time"], s.set["p2p.relay_data"] = c[0], c[1]
	}
	s.deps = node.Deps{Clock: w.clock, Chain: Cluster{w.chain, w.account}}
	n, _ := w.run(t, s, new(*store.Store))
	w.relay = n.Host()
	at := strings.Join(w.relay.FullAddrs(), ",")
	for _, s := range []*side{w.p, w.c} {
		s.set["p2p.bootstrap"], s.set["p2p.public_rules"] = at, "true"
		s.p2p = func(c *p2p.Config) {
			c.Options = append(c.Options, libp2p.ForceReachabilityPrivate(), simulated)
			c.Announce = "relay"
		}
	}
}

// simulated turns off what looks for a router of the machine's network, and what does not end with a node that cannot
// be reached.
func simulated(c *libp2p.Config) error {
	c.AutoNATConfig.EnableService, c.NATManager = false, nil
	return nil
}

// TestRelay_LargeFilesRejectedBeforeFunding: a rig that is reached over a relay only takes a small order, and of a
// large one no money moves: it ends with the code and what to do.
func TestRelay_LargeFilesRejectedBeforeFunding(t *testing.T) {
	t.Parallel()
	simulate(t, setup{work: 30 * time.Second, relayed: true}, func(t *testing.T, w *world) {
		r := request("large")
		r.File.Inputs, r.InputBytes = []spec.Source{{From: "in", To: "/workspace/in"}}, 4<<20
		w.spool(t, r, 4<<20)
		id := w.place(t, r)
		v := w.await(t, id, over)
		if v.Code != market.CodeNeedsDirect || v.Deposit != 0 || v.Lease != nil {
			t.Errorf("the order ended %s: %s; deposit %d", v.Code, v.Detail, v.Deposit)
		}
		if !strings.Contains(v.Hint, "4801") {
			t.Errorf("no next step: %q", v.Hint)
		}
		before := w.chain.Balance(w.payout)
		id = w.place(t, request("small"))
		w.exact(t, w.await(t, id, over), "completed", before)
	})
}

// spool puts so many bytes of inputs where the API puts them.
func (w *world) spool(t *testing.T, r customer.Request, bytes int) {
	t.Helper()
	w.spoolArchive(t, r, make([]byte, bytes))
}

func (w *world) spoolArchive(t *testing.T, r customer.Request, b []byte) {
	t.Helper()
	path := w.cust.Spool.Inputs(customer.OrderIDOf(w.cust.ID(), r.Key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRelay_MarkedInPlan: a plan says of a rig that it is reached over a relay only; one with larger files finds
// nothing, counts the rig for that, and says what to do.
func TestRelay_MarkedInPlan(t *testing.T) {
	t.Parallel()
	simulate(t, setup{relayed: true}, func(t *testing.T, w *world) {
		r := request("plan")
		res, _ := w.cust.Book.Match(&r)
		if len(res.Candidates) != 1 || res.Candidates[0].Relayed {
			t.Fatalf("before the look: %+v", res.Candidates)
		}
		if !w.cust.Quotes.Paths(t.Context(), res.Candidates) {
			t.Fatal("the rig is not found to be relayed")
		}
		if res, _ = w.cust.Book.Match(&r); len(res.Candidates) != 1 || !res.Candidates[0].Relayed {
			t.Fatalf("not marked: %+v", res.Candidates)
		}
		if w.cust.Quotes.Paths(t.Context(), res.Candidates) {
			t.Error("what is known is news")
		}
		r.InputBytes = 4 << 20
		res, _ = w.cust.Book.Match(&r)
		x := res.Explanation
		code, hint := customer.Unfit(x)
		if len(res.Candidates) != 0 || x.Considered != 1 || len(x.Rejected) != 1 || x.Rejected[0].Count != 1 ||
			code != market.CodeNeedsDirect || !strings.Contains(hint, "4801") {
			t.Errorf("%d fit; %s; %s, %s", len(res.Candidates), x.Text(), code, hint)
		}
	})
}
