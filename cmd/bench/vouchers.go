package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow/escrowtest"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/await"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/nodetest"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

// The rig of this bench: as many jobs as one Offer can list, each of its own customer on its own channel, at the
// highest rate there is, so that each voucher can be a new one.
const (
	voucherNetwork = "localnet-bench"
	voucherJobs    = 64
	voucherRate    = market.Rate(1_000_000_000_000)
	voucherTick    = 10 * time.Second
	steadyRate     = 5_000 // vouchers per second of the paced load
)

// Targets of a provider's node.
const (
	voucherMin = 10_000.0
	voucherP99 = 10 * time.Millisecond
)

// benchVouchers measures how many vouchers one provider's node takes: strictly verified, booked, on disk with the lease
// that they pay, then acknowledged. It calls the provider's role as its stream does; network and signing by the
// customers are not part of the figures. Jobs and ledger are those of the tests. The peers are a file that syncs each
// voucher by itself, and bbolt's own Batch with rows of the same sizes; both verify nothing.
func benchVouchers(ctx context.Context, o options, r *report) (err error) {
	dir, err := os.MkdirTemp(".", "bench-vouchers-") // on the disk of the checkout: /tmp may be memory
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	syncs, err := syncAlone(ctx, dir, o.load/2)
	if err != nil {
		return err
	}
	batch, err := batchAlone(ctx, dir, o.load/2)
	if err != nil {
		return err
	}
	rig, err := newVoucherRig(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close()) }()
	if err := rig.sign(dir, 2*o.load+startSlack); err != nil {
		return err
	}
	for _, p := range rig.payers {
		if err := p.start(ctx, rig.prov); err != nil {
			return err
		}
	}
	if err := await.Sleep(ctx, voucherTick+time.Second); err != nil { // until more is owed than was prepaid
		return err
	}
	runtime.GC() // what the preparations left is not the provider's
	began := ownTime()
	full, err := rig.load(ctx, o.load, 0)
	if err != nil {
		return err
	}
	spent := (ownTime() - began) / time.Duration(max(len(full), 1))
	collected := collections()
	steady, err := rig.load(ctx, o.load, steadyRate)
	if err != nil {
		return err
	}
	collected = collections() - collected
	perSecond := float64(len(full)) / o.load.Seconds()
	p50, p99 := quantile(steady, 0.5), quantile(steady, 0.99)
	for _, f := range []figure{
		{Name: "vouchers_per_second", Value: perSecond, Unit: "1/s", Peer: "one sync per voucher, nothing verified",
			PeerValue: float64(len(syncs)) / (o.load / 2).Seconds(), Target: fmt.Sprintf("≥ %g/s", voucherMin),
			OK: perSecond >= voucherMin},
		{Name: "vouchers_beside_batch", Value: perSecond, Unit: "1/s", Peer: "bbolt's Batch, nothing verified",
			PeerValue: batch, OK: true},
		{Name: "vouchers_cpu", Value: millis(spent) * 1000, Unit: "us", OK: true},
		{Name: "vouchers_full_p99", Value: millis(quantile(full, 0.99)), Unit: "ms", OK: true},
		{Name: "vouchers_steady_p50", Value: millis(p50), Unit: "ms", OK: true},
		{Name: "vouchers_steady_collections", Value: float64(collected) / o.load.Seconds(), Unit: "1/s", OK: true},
		{Name: "vouchers_steady_p99", Value: millis(p99), Unit: "ms", Peer: "one sync after another, p99",
			PeerValue: millis(quantile(syncs, 0.99)),
			Target:    fmt.Sprintf("≤ %g ms at %d/s", millis(voucherP99), steadyRate), OK: p99 <= voucherP99},
	} {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

// collections counts the garbage collector's cycles so far.
func collections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC
}

// voucherRig is a provider's role and its customers.
type voucherRig struct {
	node   *node.Node
	prov   *provider.Provider
	chain  *escrowtest.Chain
	clock  *lease.Clock
	cancel context.CancelFunc
	wg     sync.WaitGroup
	payers []*voucherPayer
	ladder *os.File // of all payers
}

// newVoucherRig starts a provider's node whose ledger and engine are the tests', and opens the customers' channels.
func newVoucherRig(ctx context.Context, dir string) (_ *voucherRig, err error) {
	rig := &voucherRig{chain: escrowtest.NewChain(escrowtest.Options{Seed: "bench", SlotTime: 5 * time.Millisecond})}
	if rig.clock, err = lease.NewClock(); err != nil {
		return nil, err
	}
	payout := randomAddress()
	rig.chain.Fund(payout, 1_000_000)
	if rig.node, err = node.New(voucherConfig(dir, payout), node.Deps{
		Clock: rig.clock, Chain: nodetest.Cluster{Chain: rig.chain, Account: rig.funded},
		Engine:  nodetest.Engine{Fake: runtimetest.NewWorker(time.Hour)}.Open,
		Devices: slots,
	}, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	ctx, rig.cancel = context.WithCancel(ctx)
	ready, ended := make(chan struct{}), make(chan error, 1)
	rig.wg.Go(func() { ended <- rig.node.Serve(ctx, ready) })
	select {
	case <-ready:
	case err := <-ended:
		return nil, errors.Join(err, rig.close())
	}
	rig.prov = rig.node.Provider()
	for range voucherJobs {
		p, err := rig.customer(ctx)
		if err != nil {
			return nil, errors.Join(err, rig.close())
		}
		rig.payers = append(rig.payers, p)
	}
	return rig, nil
}

// voucherConfig is the settings of the rig's node. Its disk and memory are never used.
func voucherConfig(dir string, payout market.Address) (c config.Config) {
	c.Node.Network, c.Node.DataDir, c.Node.Roles = voucherNetwork, filepath.Join(dir, "provider"), []string{"provider"}
	c.P2P.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	c.Solana.RPC = []string{"http://in-memory"}
	c.Provider = config.Provider{
		Sell: true, Payout: payout.String(), Rate: market.Amount(voucherRate).SOL() + "/h", Cores: voucherJobs,
		Memory: 1 << 40,
		Disk:   1 << 42, Egress: "none", Tick: config.Duration(voucherTick), Hold: config.Duration(2 * time.Minute),
		ClaimFee: 50_000,
	}
	return c
}

// slots are the devices: one for each job.
func slots(_ context.Context, c gpu.Config) (out []gpu.Device, err error) {
	for i := range voucherJobs {
		out = append(out, gpu.CPUSlot(fmt.Sprintf("%s/%d", c.PeerID, i)))
	}
	return out, nil
}

// funded is the ledger of one of the node's accounts, with money in it.
func (rig *voucherRig) funded(a market.Address) node.Ledger {
	rig.chain.Fund(a, market.LamportsSOL)
	return rig.chain.Ledger(a)
}

// load has all customers pay for d, at perSecond in all, or as fast as they can for 0. The result is the time of each
// payment, from when it was due to its acknowledgement.
func (rig *voucherRig) load(ctx context.Context, d time.Duration, perSecond int) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	var errs []error
	var wg sync.WaitGroup
	began := time.Now()
	for i, p := range rig.payers {
		wg.Go(func() {
			var took []time.Duration
			var err error
			every, due := time.Duration(0), began
			if perSecond > 0 {
				every = time.Second * voucherJobs / time.Duration(perSecond)
				due = due.Add(every * time.Duration(i) / voucherJobs)
			}
			for err == nil && ctx.Err() == nil && time.Since(began) < d {
				if every > 0 {
					time.Sleep(time.Until(due))
				} else {
					due = time.Now()
				}
				err = p.pay(ctx, rig.prov)
				took = append(took, time.Since(due))
				due = due.Add(every)
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), append(errs, err)
		})
	}
	wg.Wait()
	return all, errors.Join(append(errs, ctx.Err())...)
}

func (rig *voucherRig) close() error {
	rig.cancel()
	rig.wg.Wait()
	if rig.ladder == nil {
		return nil
	}
	return rig.ladder.Close()
}
