package nodetest

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// side is what a node of a world is made of, each time it starts.
type side struct {
	name string // "p" or "c"
	dir  string
	key  ed25519.PrivateKey
	set  map[string]string // settings
	deps node.Deps
	p2p  func(*p2p.Config) // nil: as the settings say
	log  *slog.Logger

	roles []string   // beside those of the settings
	node  *node.Node // that of the last start
}

// sides prepares the folders of both nodes with fixed keys, and their settings.
func (w *world) sides(t *testing.T) {
	t.Helper()
	common := map[string]string{"node.network": p2ptest.Network, "solana.rpc": "http://simulated"}
	w.p = newSide(t, "provider", 1, common, map[string]string{
		"provider.payout": w.payout.String(), "provider.rate": "3.6/h", "provider.cores": "2",
		"provider.memory": "4GiB", "provider.disk": "40GiB", "provider.seal_after": "0s",
	})
	w.c = newSide(t, "customer", 2, common, map[string]string{"customer.away_max": "2 SOL",
		"customer.spool_max": "0B"})
	w.files = map[string]string{"p": filepath.Join(w.p.dir, "state.db"), "c": filepath.Join(w.c.dir, "state.db")}
	w.p.keypair(t, "fee-payer", 'f'+'e')
	w.c.keypair(t, "spending", 'p'+'r')
	chain := Cluster{w.chain, w.account}
	w.p.deps = node.Deps{Clock: w.clock, Chain: chain, Devices: w.devices, Provider: w.tuneProvider,
		Engine:   Engine{w.engine, w.fit}.Open,
		HandOver: func(gpu.Config) provider.HandOver { return w.setup.hand },
	}
	w.c.deps = node.Deps{Clock: w.clock, Chain: chain, Customer: w.tuneCustomer,
		Net: func(n customer.Net) customer.Net { return custNet{n, w.sw} }}
}

func newSide(t *testing.T, role string, seed byte, sets ...map[string]string) *side {
	t.Helper()
	s := &side{name: role[:1], dir: filepath.Join(t.TempDir(), "d"), key: p2ptest.Key(seed), log: logger(t, role),
		set: map[string]string{"node.roles": role}}
	s.set["node.data_dir"] = s.dir
	for _, set := range sets {
		for k, v := range set {
			s.set[k] = v
		}
	}
	s.write(t, "node.key", s.key.Seed())
	voucher := [32]byte{seed}
	s.write(t, "voucher.seed", voucher[:])
	return s
}

// write makes a file of a key.
func (s *side) write(t *testing.T, name string, b []byte) {
	t.Helper()
	folder := filepath.Join(s.dir, "keys")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// keypair makes the file of an account that addr knows.
func (s *side) keypair(t *testing.T, name string, seed byte) {
	t.Helper()
	var numbers [ed25519.PrivateKeySize]int
	for i, b := range p2ptest.Key(seed) {
		numbers[i] = int(b)
	}
	b, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, name+".json", b)
}

// options are where the side's settings come from: all of them stand in its file.
func (s *side) options(t *testing.T) config.Options {
	t.Helper()
	o := config.Options{Path: filepath.Join(s.dir, "config.toml"), Env: []string{"HOME=" + s.dir}}
	if _, err := config.Set(o, s.set); err != nil {
		t.Fatal(err)
	}
	return o
}

// run starts the node of a side and returns it once its roles run. stop ends it and waits for that; then db, which the
// node had, is open again.
func (w *world) run(t *testing.T, s *side, db **store.Store) (n *node.Node, stop func()) {
	t.Helper()
	if *db != nil { // the last node's
		if err := (*db).Close(); err != nil {
			t.Fatal(err)
		}
	}
	n, serve, ended := w.node(t, s)
	*db = n.Store()
	ready := make(chan struct{})
	end := serveUntil(t, func(ctx context.Context) error { defer ended(); return serve(ctx, ready) })
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the node is not ready")
	}
	ending := true
	stop = sync.OnceFunc(func() {
		end()
		if ending {
			*db = w.openStore(t, s.name)
		}
	})
	t.Cleanup(func() { ending = false; stop() })
	return n, stop
}

// node makes the node of a side. ended is called after its Serve.
func (w *world) node(t *testing.T, s *side) (n *node.Node, serve func(context.Context, chan<- struct{}) error,
	ended func()) {
	t.Helper()
	l, err := config.Load(s.options(t))
	if err != nil {
		t.Fatal(err)
	}
	d := s.deps
	d.P2P = func(c *p2p.Config) {
		if s.p2p != nil {
			s.p2p(c)
		}
		ended = w.net.Prepare(t, c)
	}
	l.Node.Roles = append(l.Node.Roles, s.roles...)
	if n, err = node.New(l.Config, d, s.log); err != nil {
		t.Fatal(err)
	}
	s.node = n
	return n, n.Serve, ended
}

// tuneProvider changes what the settings have come to, at each start: as the test's setup says, then as the test has
// left it.
func (w *world) tuneProvider(c *provider.Config) {
	switch {
	case w.prov != nil:
		*c = w.pc
	case w.setup.change != nil:
		w.setup.change(c, &w.cc)
	}
	w.pc = *c
}

// tuneCustomer is the same for the customer.
func (w *world) tuneCustomer(c *customer.Config) {
	switch {
	case w.cust != nil:
		*c = w.cc
	case w.setup.change != nil:
		w.setup.change(&w.pc, c)
	}
	w.cc = *c
}

// devices are CPU slots, or simulated GPUs where their hand-over is watched.
func (w *world) devices(_ context.Context, c gpu.Config) ([]gpu.Device, error) {
	devices := []gpu.Device{gpu.CPUSlot(c.PeerID)}
	for i := 1; i < w.setup.devices; i++ {
		d := gpu.CPUSlot(fmt.Sprintf("%s/%d", c.PeerID, i))
		if w.setup.classes {
			d.Class = fmt.Sprintf("slot-%d", i)
		}
		devices = append(devices, d)
	}
	for i := range devices {
		if w.setup.hand != nil {
			devices[i].Kind = gpu.KindSim
		}
	}
	return devices, nil
}

// fit is the engine's check of itself, as the test has set it up by then.
func (w *world) fit(ctx context.Context) (bool, error) {
	if w.setup.fit == nil {
		return true, nil
	}
	return w.setup.fit(ctx)
}

// account is the ledger of an account. The customer's wallet outlives its node.
func (w *world) account(a market.Address) node.Ledger {
	if a == w.payer {
		return w.wallet
	}
	if l := w.accounts[a]; l != nil {
		return l
	}
	return w.chain.Ledger(a)
}
