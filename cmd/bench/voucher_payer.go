package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/nodetest"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/p2p/wire"
)

const (
	voucherBudget = 100 * market.LamportsSOL
	// rungEvery is what a voucher pays more than the one before it: so much time of the job.
	rungEvery = 5 * time.Millisecond
	// startSlack is how much later than the job begins the load may.
	startSlack = 15 * time.Second
)

// voucherPayer is one customer with a channel, then with a running job; one goroutine at a time uses it.
type voucherPayer struct {
	nodetest.Buyer
	lease market.LeaseID
	ch    market.ChannelID
	ready time.Time
	rung  int // the next voucher of the ladder

	ladder *io.SectionReader // signatures; nil: none yet
}

// customer opens a channel with new keys.
func (rig *voucherRig) customer(ctx context.Context) (*voucherPayer, error) {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // it never fails
	_, voucher, _ := ed25519.GenerateKey(rand.Reader)
	p := &voucherPayer{Buyer: nodetest.Buyer{
		Network: voucherNetwork, Key: key, ID: market.NodeID(key.Public().(ed25519.PublicKey)),
		Payer: randomAddress(), Voucher: voucher, Chain: rig.chain, Now: rig.clock.Now,
	}}
	rig.chain.Fund(p.Payer, 2*voucherBudget)
	p.Wallet = rig.chain.Ledger(p.Payer)
	_, raw, err := p.quote(ctx, rig.prov)
	if err != nil {
		return nil, err
	}
	q, _, err := wire.OpenQuote(raw, p.Network)
	if err != nil {
		return nil, err
	}
	p.ch, err = p.Open(q, voucherBudget, nil)
	return p, err
}

// quote asks for one of a new Order until there is one: none before the chain was read.
func (p *voucherPayer) quote(ctx context.Context, prov *provider.Provider) (order, quote []byte, err error) {
	order, err = p.Order(func(o *market.Order) { o.MaxRate, o.Budget = voucherRate, voucherBudget })
	if err != nil {
		return nil, nil, err
	}
	var why error
	err = until(ctx, "a quote", nodeWait, func() (bool, error) {
		quote, why = prov.Quote(ctx, p.ID, order)
		return why == nil, nil
	})
	if err != nil {
		err = errors.Join(err, why)
	}
	return order, quote, err
}

// start buys one job, waits until it runs and pays its first tick.
func (p *voucherPayer) start(ctx context.Context, prov *provider.Provider) error {
	order, quote, err := p.quote(ctx, prov)
	if err != nil {
		return err
	}
	lease := []byte(nil)
	id, lease, err := p.Lease(order, quote, p.ch, func(b *market.Proposal) { b.Cap = voucherBudget })
	if err != nil {
		return err
	}
	p.lease = id
	if err := prov.Propose(ctx, p.ID, lease); err != nil {
		return err
	}
	err = until(ctx, "a job", nodeWait, func() (bool, error) { // a stranger's is frozen until its first tick is paid
		s, err := prov.Status(ctx, p.ID, p.lease)
		if err == nil && s.State == market.Refused {
			return false, fmt.Errorf("the lease is refused: %s %s", s.Cause, s.Detail)
		}
		return err == nil && (s.State == market.Running || s.State == market.Paused), err
	})
	if err != nil {
		return err
	}
	p.ready = time.Now()
	return p.pay(ctx, prov)
}

// sign has the customers sign what they pay during d, before the clock starts: that work is theirs. The signatures lie
// in a file, so that the provider's memory is as large as without them.
func (rig *voucherRig) sign(dir string, d time.Duration) (err error) {
	if rig.ladder, err = os.Create(filepath.Join(dir, "ladder")); err != nil {
		return err
	}
	size := int64(d/rungEvery) * ed25519.SignatureSize
	errs := make([]error, len(rig.payers))
	var wg sync.WaitGroup
	for i, p := range rig.payers {
		p.ladder = io.NewSectionReader(rig.ladder, int64(i)*size, size)
		wg.Go(func() { errs[i] = p.sign(io.NewOffsetWriter(rig.ladder, int64(i)*size), int(d/rungEvery)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sign writes the signatures of so many rungs.
func (p *voucherPayer) sign(to io.Writer, rungs int) error {
	w := bufio.NewWriter(to)
	for n := range rungs {
		paid, err := rungAmount(n)
		if err != nil {
			return err
		}
		sig := escrow.Voucher{Channel: p.ch, Amount: paid}.Sign(p.Voucher).Sig
		_, _ = w.Write(sig[:]) // Flush says it
	}
	return w.Flush()
}

// rungAmount is what the voucher of a rung pays: the first one tick.
func rungAmount(rung int) (market.Amount, error) {
	return voucherRate.For(1, voucherTick+time.Duration(rung)*rungEvery)
}

// pay sends the next voucher. Amounts follow what is owed, as real ones do.
func (p *voucherPayer) pay(ctx context.Context, prov *provider.Provider) error {
	p.rung = max(p.rung, int((time.Since(p.ready)-voucherTick)/rungEvery))
	paid, err := rungAmount(p.rung)
	if err != nil {
		return err
	}
	pay := market.Payment{Lease: p.lease, LeaseAmount: paid, ReceiptSeq: 1,
		Voucher: escrow.Voucher{Channel: p.ch, Amount: paid}.Encode()}
	if _, err := p.ladder.ReadAt(pay.Sig[:], int64(p.rung*len(pay.Sig))); err != nil {
		return fmt.Errorf("more is paid than the customers have signed: %w", err)
	}
	p.rung++
	stored, err := prov.Payment(ctx, p.ID, pay)
	if err == nil && stored != paid {
		err = fmt.Errorf("stored %d of %d", stored, paid)
	}
	return err
}

func randomAddress() market.Address {
	pub, _, _ := ed25519.GenerateKey(rand.Reader) // it never fails
	return market.Address(pub)
}
