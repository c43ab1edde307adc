package nodetest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/runtime/job"
)

var updateStores = flag.Bool("update-stores", false, "write the golden stores of this version's schema anew")

// schemas are the versions whose golden stores are kept in testdata/stores; the last one is this version's.
var schemas = []string{"2", "3"}

// golden is what the stores of a version are about: taken by that version's own code, with all roles down.
type golden struct {
	At       time.Duration // since the world's start
	Known    market.OrderID
	Debtor   market.OrderID
	Running  market.OrderID
	Lease    market.LeaseID // of Running
	Paid     market.Amount  // acknowledged of it
	Owed     market.Amount  // claimed of it
	Debt     market.Amount  // of Debtor
	Earned   market.Amount  // by all, now or for good
	Channels []purse.View
	Chain    json.RawMessage
}

// oldWorld is a world whose ledger has the same addresses in each test.
func oldWorld(t *testing.T, f func(t *testing.T, w *world, start time.Time)) {
	t.Helper()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		start := time.Now()
		clock, err := lease.ClockOf(func() (time.Duration, error) { return time.Hour + time.Since(start), nil },
			"virtual")
		if err != nil {
			t.Fatal(err)
		}
		chain := escrowtest.NewChain(escrowtest.Options{Seed: "golden", SlotTime: 400 * time.Millisecond, Start: start})
		w := build(t, n, clock, chain, setup{devices: 3, work: 20 * time.Second, change: shortHold})
		w.sim = n
		f(t, w, start)
	})
}

// TestGoldenStores_Written makes the stores of this version's schema: a job that is over on a kept channel, one that
// runs on it and is paid ahead, and one that left a debt.
func TestGoldenStores_Written(t *testing.T) {
	if !*updateStores {
		t.Skip("golden stores are written with -update-stores")
	}
	oldWorld(t, func(t *testing.T, w *world, start time.Time) {
		keep := request("known")
		keep.KeepChannel = true
		known := w.await(t, w.place(t, keep), over)
		w.engine.SetWork(time.Hour)
		r := long()
		r.Key, r.File.Limits.MaxTotal = "running", 2_000_000_000
		id := w.place(t, r)
		w.await(t, id, func(v customer.View) bool { return running(v) && v.Lease.Paid > v.Lease.Claim+200*second })
		d := request("debtor")
		did := w.place(t, d)
		dv := w.await(t, did, running)
		w.sw.noPay.Store(true)
		w.worstUnpaid(t, dv)
		time.Sleep(5 * time.Second)
		g := golden{Known: known.ID, Debtor: did, Running: id}
		m := w.sold(t, dv)
		v := w.await(t, id, running)
		sold := w.sold(t, v)
		e := w.prov.Earned()
		g.Lease, g.Paid, g.Owed, g.Debt, g.Earned = v.Lease.ID, sold.Paid, sold.Claim, m.Debt, e.Total()+e.Now
		w.stopCust()
		w.stopProv()
		g.Channels = w.cust.Channels()
		g.At = time.Since(start)
		var err error
		if g.Chain, err = w.chain.Dump(); err != nil {
			t.Fatal(err)
		}
		if g.Debt == 0 || sold.State != market.Running || len(g.Channels) == 0 {
			t.Fatalf("not the books that are wanted: %+v", g)
		}
		dir := filepath.Join("testdata", "stores", schemas[len(schemas)-1])
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := w.pstore.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.cstore.Close(); err != nil {
			t.Fatal(err)
		}
		for name, file := range w.files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeGolden(t, filepath.Join(dir, name+".db.gz"), b)
		}
		b, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		writeGolden(t, filepath.Join(dir, "golden.json.gz"), b)
	})
}

func writeGolden(t *testing.T, file string, b []byte) {
	t.Helper()
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression) // the level is one
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSim_OldStores_GoOn: nodes that begin on the stores of each schema know all that these held: the running job goes
// on and is paid to the unit, vouchers that were kept settle, the debt still refuses its customer until it is paid, and
// the job that was over is listed.
func TestSim_OldStores_GoOn(t *testing.T) {
	t.Parallel()
	for _, schema := range schemas {
		dir := filepath.Join("testdata", "stores", schema)
		t.Run("schema "+schema, func(t *testing.T) {
			t.Parallel()
			oldWorld(t, func(t *testing.T, w *world, start time.Time) { goesOn(t, w, start, dir) })
		})
	}
}

func goesOn(t *testing.T, w *world, start time.Time, dir string) {
	t.Helper()
	var g golden
	if err := json.Unmarshal(readGolden(t, filepath.Join(dir, "golden.json.gz")), &g); err != nil {
		t.Fatal(err)
	}
	w.stopCust()
	w.stopProv()
	if err := w.pstore.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.cstore.Close(); err != nil {
		t.Fatal(err)
	}
	for name, file := range w.files {
		if err := os.WriteFile(file, readGolden(t, filepath.Join(dir, name+".db.gz")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Until(start.Add(g.At)))
	if err := w.chain.Load(g.Chain); err != nil {
		t.Fatal(err)
	}
	w.engine.SetWork(4 * time.Minute)
	w.engine.Adopt(job.Key{Lease: g.Lease})
	w.pstore, w.cstore = w.openStore(t, "p"), w.openStore(t, "c")
	w.startProvider(t)
	<-w.prov.Loaded()
	if e := w.prov.Earned(); e.Total()+e.Now > g.Earned || e.Total()+e.Now+tickPrice < g.Earned {
		t.Errorf("%+v are earned, %d were", e, g.Earned)
	}
	w.startCustomer(t)
	<-w.cust.Loaded()
	for _, was := range g.Channels {
		found := false
		for _, ch := range w.cust.Channels() {
			if ch.ID != was.ID {
				continue
			}
			found = true
			if a, b := ch.Account, was.Account; a.PaidSum() != b.PaidSum() || a.OwedSum() != b.OwedSum() ||
				a.Newest != b.Newest || a.Live() != b.Live() || a.Deposit != b.Deposit || a.Phase != b.Phase {
				t.Errorf("the account was %+v, is %+v", b, a)
			}
		}
		if !found {
			t.Errorf("channel %s is not known any more", was.ID)
		}
	}
	known, err := w.cust.Order(g.Known.String())
	if err != nil || known.Code != market.CodeCompleted || known.Lease == nil {
		t.Errorf("the order that was over is %+v, %v", known, err)
	}
	v := w.await(t, g.Running, running)
	if m := w.sold(t, v); m.State != market.Running || m.Paid < g.Paid || m.Claim < g.Owed {
		t.Errorf("the job that ran is %s, paid %d of %d before, claim %d of %d", m.State, m.Paid, g.Paid, m.Claim,
			g.Owed)
	}
	v = w.await(t, g.Running, over)
	if v.Code != market.CodeCompleted {
		t.Errorf("the job that ran ended as %s %s", v.Code, v.Detail)
	}
	w.await(t, g.Debtor, over)
	again := w.await(t, w.place(t, request("again")), over)
	if strings.Contains(again.Detail, "debt-unpaid") {
		t.Errorf("the debt is not paid: %s", again.Detail)
	}
	w.allPaidOut(t)
}

// allPaidOut closes what is open, and fails unless the payout address got what was earned.
func (w *world) allPaidOut(t *testing.T) {
	t.Helper()
	for _, ch := range w.cust.Channels() {
		if err := w.cust.CloseChannel(t.Context(), ch.ID); err != nil {
			t.Errorf("close %s: %v", ch.ID, err)
		}
	}
	until(t, "not all is settled", func() bool {
		e := w.prov.Earned()
		return e.Claimable == 0 && e.Now == 0
	})
	const funded = 1_000_000 // by build
	if got := w.chain.Balance(w.payout) - funded; got != w.prov.Earned().Settled || got == 0 {
		t.Errorf("the payout address got %d, %+v are earned", got, w.prov.Earned())
	}
	if w.chain.Total() != 0 {
		t.Errorf("the ledger made or lost %d", w.chain.Total())
	}
}
