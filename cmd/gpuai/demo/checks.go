package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow/localnet"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// The demo's market: two providers ask these rates, the customer takes at most topRate. They are high so that ten
// seconds of a job are worth more than the ledger's least balance of a new account.
const (
	cheapRate = "1/h"
	dearRate  = "3/h"
	topRate   = market.Rate(2 * market.LamportsSOL)
	maxTotal  = market.Amount(market.LamportsSOL / 20)
	airdrop   = market.Amount(2 * market.LamportsSOL)
	slotMS    = 100
)

type state struct {
	customer *process
	indexer  *process
	scene    spec.Source
	request  api.OrderRequest
	before   market.Amount // balance of the spending account
	orderID  string
	ordered  time.Time
	order    api.Order
	logs     sync.WaitGroup
	logsErr  error
}

// program is check 1.
func (r *run) program(ctx context.Context) (err error) {
	r.w.network = "localnet-" + suffix()
	if r.w.ledger, err = localnet.Start(ctx, localnet.Options{SlotMS: slotMS, Seed: r.w.network}); err != nil {
		return err
	}
	hash, err := r.w.programHash(ctx)
	if err != nil {
		return err
	}
	if hash != program.Hash() {
		return fmt.Errorf("the ledger runs %s, committed is %s", hash, program.Hash())
	}
	r.ok("program", "the ledger runs the committed escrow program, sha256:%s…", hash[:16])
	return nil
}

// network is check 2.
func (r *run) network(ctx context.Context) (err error) {
	if err = r.w.serveImage(); err != nil {
		return err
	}
	boot, err := r.w.startNode(ctx, "bootstrap", "node.roles=", "p2p.infra=true")
	if err != nil {
		return err
	}
	if len(boot.status.Addresses) == 0 {
		return errors.New("the bootstrap node has no address")
	}
	join := []string{"p2p.bootstrap=" + boot.status.Addresses[0], "solana.rpc=" + r.w.ledger.RPC}
	for _, p := range [][2]string{{"provider-1", cheapRate}, {"provider-2", dearRate}} {
		var payout market.Address
		if _, err = rand.Read(payout[:]); err != nil {
			return err
		}
		if p[1] == cheapRate {
			r.w.payout = payout
		}
		sets := append([]string{
			"node.roles=provider", "provider.rate=" + p[1], "provider.payout=" + payout.String(), "provider.tick=2s",
			"provider.hold=1m",
			"provider.egress=none", "provider.memory=2GiB", "provider.disk=4GiB",
			fmt.Sprintf("provider.allow_weak_runtime=%t", r.o.Weak),
		}, join...)
		if _, err = r.w.startNode(ctx, p[0], sets...); err != nil {
			return err
		}
	}
	began := time.Now()
	if r.s.customer, err = r.w.startNode(ctx, "customer",
		append([]string{"node.roles=customer"}, join...)...); err != nil {
		return err
	}
	seen := map[string]bool{}
	err = until(ctx, "both offers", 30*time.Second, func() (bool, error) {
		list, err := r.s.customer.client.Offers(ctx, market.Sort{})
		for _, o := range list {
			seen[o.Provider] = true
		}
		return len(seen) == 2, err
	})
	if err != nil {
		return err
	}
	came := time.Since(began)
	// its own ledger account stays empty: it reads
	if r.s.indexer, err = r.w.startNode(ctx, "indexer",
		append([]string{"node.roles=indexer", "indexer.listen=127.0.0.1:0"}, join...)...); err != nil {
		return err
	}
	r.ok("network", "5 nodes on %s; both offers came over gossip, %d ms after the customer's start", r.w.network,
		came.Milliseconds())
	return nil
}

// plan is check 3.
func (r *run) plan(ctx context.Context) error {
	path := filepath.Join(r.dir, "scene.txt")
	if err := os.WriteFile(path, r.o.Scene, 0o600); err != nil {
		return fmt.Errorf("write scene: %w", err)
	}
	f, faults := spec.FromFlags(spec.Flags{
		"name": {"demo"}, "image": {r.w.image}, "cpu": {"1"}, "memory": {"512MiB"}, "disk": {"1GiB"}, "shm": {"64MiB"},
		"egress": {"none"}, "in": {path + ":/workspace/in/scene.txt"}, "out": {"/workspace/out"},
		"max-duration": {"10m"}, "stop-grace": {"5s"},
	})
	if err := spec.AsError("", faults); err != nil {
		return err
	}
	f.Limits.MaxRate, f.Limits.MaxTotal = topRate, maxTotal
	r.s.scene = f.Inputs[0]
	r.s.request = api.OrderRequest{Key: rand.Text(), Job: f, InputBytes: uint64(len(r.o.Scene))}
	p, err := r.s.customer.client.Plan(ctx, r.s.request)
	if err != nil {
		return err
	}
	if len(p.Candidates) != 1 || len(p.Rejections) != 1 || market.Rate(p.Candidates[0].Rate.Lamports()) > topRate {
		return fmt.Errorf("want one candidate and one rejection, got %+v and %+v", p.Candidates, p.Rejections)
	}
	if !strings.HasSuffix(p.Image, r.w.digest) {
		return fmt.Errorf("the plan pins %s, the registry serves %s", p.Image, r.w.digest)
	}
	r.ok("plan", "1 fits at %s; rejected: %s", p.Candidates[0].Rate, p.Rejections[0].Detail)
	return nil
}

// fund is check 4.
func (r *run) fund(ctx context.Context) (err error) {
	c := r.s.customer.client
	if _, err = c.Airdrop(ctx, airdrop); err != nil {
		return err
	}
	if r.s.before, err = r.w.balance(ctx, r.s.customer.status.Wallet); err != nil {
		return err
	}
	r.s.ordered = time.Now()
	o, err := c.CreateOrder(ctx, r.s.request)
	if err != nil {
		return err
	}
	r.s.orderID = o.ID
	if again, err := c.CreateOrder(ctx, r.s.request); err != nil || again.ID != o.ID {
		return errors.Join(fmt.Errorf("a repeat with the same key gave order %q, want %s", again.ID, o.ID), err)
	}
	if err := r.sendInputs(ctx); err != nil {
		return err
	}
	err = r.wait(ctx, "the channel", 30*time.Second, func(o api.Order) bool {
		return o.Channel != "" &&
			o.Deposit.Lamports() > 0
	})
	if err != nil {
		return err
	}
	o = r.s.order
	if o.Deposit.Lamports() > maxTotal {
		return fmt.Errorf("deposit %s is above the cap", o.Deposit)
	}
	if _, err := r.w.data(ctx, o.Channel); err != nil {
		return fmt.Errorf("the channel is not on the ledger: %w", err)
	}
	r.ok("deposit", "%s in channel %s… on the ledger, %d ms after the order", o.Deposit, o.Channel[:8],
		time.Since(r.s.ordered).Milliseconds())
	return nil
}

// wait polls the order until f holds. Errors: the order failed meanwhile.
func (r *run) wait(ctx context.Context, what string, limit time.Duration, f func(api.Order) bool) error {
	return until(ctx, what, limit, func() (bool, error) {
		o, err := r.s.customer.client.Order(ctx, r.s.orderID)
		if err != nil {
			return false, err
		}
		r.s.order = o
		if o.Standing == "failed" {
			return false, fmt.Errorf("the order failed: %s %s", o.Code, o.Detail)
		}
		return f(o), nil
	})
}

// lease is check 5.
func (r *run) lease(ctx context.Context) error {
	err := r.wait(ctx, "ready", 60*time.Second, func(o api.Order) bool { return o.ReadyAt != nil })
	if err != nil {
		return err
	}
	ready := time.Since(r.s.ordered)
	first, line := make(chan struct{}), bytes.Buffer{}
	var once sync.Once
	r.s.logs.Go(func() {
		_, r.s.logsErr = r.s.customer.client.Logs(ctx, r.s.orderID, api.LogQuery{Follow: true},
			func(p api.LogPiece) error {
				once.Do(func() { line.Write(p.Data); close(first) })
				return nil
			})
	})
	select {
	case <-first:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Second):
		return errors.New("no log line within 20 s")
	}
	text, _, _ := strings.Cut(line.String(), "\n")
	r.ok("lease", "%s… ready %d ms after the order, image pulled by digest; live log: %q", r.s.order.LeaseID[:14],
		ready.Milliseconds(), text)
	return nil
}

// meter is check 6.
func (r *run) meter(ctx context.Context) error {
	var receipts, payments int
	var seq uint64
	var paid market.Amount
	var own, billed int64
	err := r.wait(ctx, "the job's end", 3*time.Minute, func(o api.Order) bool {
		if o.ReceiptSeq > seq {
			receipts, seq = receipts+1, o.ReceiptSeq
		}
		if p := o.Paid.Lamports(); p > paid && !o.Finished {
			payments, paid = payments+1, p
		}
		own, billed = max(own, o.OwnMS), max(billed, o.BillableMS)
		return o.ExitCode != nil
	})
	if err != nil {
		return err
	}
	if o := r.s.order; *o.ExitCode != 0 {
		return fmt.Errorf("the job ended with %d: %s", *o.ExitCode, o.Detail)
	}
	if receipts < 2 || payments < 2 {
		return fmt.Errorf("saw %d receipts and %d payments while the job ran, want at least 2 each", receipts, payments)
	}
	r.ok("meter", "%d receipts answered by vouchers up to %s SOL; provider billed %d ms, own meter %d ms", receipts,
		paid.SOL(), billed, own)
	return nil
}

// refund is check 8.
func (r *run) refund(ctx context.Context) error {
	err := r.wait(ctx, "settlement and refund", 60*time.Second,
		func(o api.Order) bool { return o.Finished && o.Ended() })
	if err != nil {
		return err
	}
	o := r.s.order
	deposit, paid, returned := o.Deposit.Lamports(), o.Paid.Lamports(), o.Returned.Lamports()
	got, err := r.w.balance(ctx, r.w.payout.String())
	if err != nil {
		return err
	}
	after, err := r.w.balance(ctx, r.s.customer.status.Wallet)
	if err != nil {
		return err
	}
	switch {
	case paid == 0 || deposit != paid+returned:
		return fmt.Errorf("deposit %d, paid %d, returned %d", deposit, paid, returned)
	case got != paid:
		return fmt.Errorf("the payout address holds %d, paid are %d", got, paid)
	case r.s.before-paid < after:
		return fmt.Errorf("the spending account has %d, more than %d less what was paid", after, r.s.before)
	}
	r.ok("refund", "deposit %s = paid %s (on the payout address) + returned %s SOL, difference 0; fees and storage "+
		"deposit %s SOL",
		deposit.SOL(), paid.SOL(), returned.SOL(), (r.s.before - paid - after).SOL())
	return nil
}
