package node

import (
	"context"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
)

// estimate fills in what the order takes and buys at the best candidate, and whether the wallet can pay it: by the sum
// that funding will ask for. A ledger that does not answer leaves the wallet's figures out: the order will say so, if
// it still is so then.
func (b *Backend) estimate(ctx context.Context, c *customer.Customer, req *customer.Request, cand book.Candidate,
	p *api.Plan) {
	e := c.Estimate(ctx, req, cand, usualClaimFee)
	p.Quoted, p.Deposit, p.ClaimFee = e.Quoted, api.SOL(e.Deposit), api.SOL(e.ClaimFee)
	p.RunsMS, p.GraceMS, p.HoldMS = e.Runs.Milliseconds(), e.Grace.Milliseconds(), e.Hold.Milliseconds()
	p.AtRisk, p.AsleepMS = api.SOL(e.AtRisk), e.Asleep.Milliseconds()
	if err := customer.CapFits(cand.Rate, req, e.Tick); err != nil {
		p.Feasible, p.Code, p.Detail, p.NearestHint = false, err.Code, err.Detail, err.Hint
		return
	}
	spending := b.n.Spending()
	if spending == nil {
		return
	}
	in := escrow.Intent{Op: escrow.OpOpen, Amount: e.Deposit, ClaimFee: e.ClaimFee}
	switch {
	case e.Reuses && e.Deposit > 0:
		in.Op = escrow.OpTopUp
	case e.Reuses:
		in.Op = escrow.OpFinish // a fee at its end is all that it takes from the wallet
	}
	n, err := spending.Needs(ctx, in)
	if err != nil {
		return
	}
	storage := api.SOL(n.Storage)
	p.Storage, p.NetworkFees, p.Fees = &storage, api.SOL(n.Fees), api.SOL(n.Fees+e.ClaimFee)
	p.Minimum, p.UnderWay, p.Needed, p.Available = api.SOL(n.Minimum), api.SOL(n.UnderWay), api.SOL(n.Total),
		api.SOL(n.Balance)
	if short := n.Short(); short > 0 && e.Deposit > 0 {
		p.Feasible, p.Code, p.Missing = false, market.CodeFundsShort, api.SOL(short)
		p.Detail = fmt.Sprintf("the wallet holds %s SOL; this needs %s SOL, %s more", n.Balance.SOL(), n.Total.SOL(),
			short.SOL())
		p.NearestHint = b.fundHint(short)
	}
}

// fundHint is how a wallet gets money on this network.
func (b *Backend) fundHint(missing market.Amount) string {
	if b.n.host.Network().Local {
		return fmt.Sprintf("gpuai wallet airdrop %d", max((missing+market.LamportsSOL-1)/market.LamportsSOL, 1))
	}
	return "send SOL to " + b.n.Spending().Address().String()
}
