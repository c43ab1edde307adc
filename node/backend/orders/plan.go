package orders

import (
	"context"
	"fmt"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/p2p"
)

// usualClaimFee is what providers ask for unless their account is new; planFees adds a signature at the start and two
// at the end.
const (
	usualClaimFee = market.Amount(50_000)
	planFees      = 3*market.Amount(escrow.FeePerSignature) + usualClaimFee
)

// Plan implements api.Orders.
func (d *Desk) Plan(ctx context.Context, r api.OrderRequest) (api.Plan, error) {
	c, err := d.Role()
	if err != nil {
		return api.Plan{}, err
	}
	if r.Key == "" {
		r.Key = "plan" // nothing is placed
	}
	req, err := d.request(ctx, r)
	if err != nil {
		return api.Plan{}, err
	}
	c.Hear(req.File.Classes())
	c.Book.AwaitFit(ctx, &req)
	res, rented := match(ctx, c, &req)
	p := api.Plan{
		Schema: "gpuai.plan/v1", Image: req.Image.Ref + "@" + req.Image.Manifest,
		ImageBytes: req.Image.CompressedBytes, Candidates: []api.Candidate{}, Rejections: []api.Rejection{},
		PlanTerms: api.PlanTerms{Deposit: api.SOL(0), MaxTotal: api.SOL(req.File.Limits.MaxTotal), AtRisk: api.SOL(0)},
		PlanFees:  api.PlanFees{Fees: api.SOL(planFees)},
		AwayMS:    r.Job.Limits.Away.Milliseconds(), Feasible: len(res.Candidates) > 0, Rented: rented, Request: r,
	}
	for _, cand := range res.Candidates {
		total, err := cand.Rate.For(req.File.Devices(), req.File.Limits.MaxDuration)
		if err != nil {
			total = req.File.Limits.MaxTotal
		}
		p.Candidates = append(p.Candidates, api.Candidate{
			Provider: cand.Provider.String(), Class: cand.Offer.Groups[cand.Group].Class, Rate: api.RateSOL(cand.Rate),
			Total: api.SOL(min(total, req.File.Limits.MaxTotal)), Relayed: cand.Relayed, FilesMax: filesMax(cand),
		})
	}
	if len(res.Candidates) > 0 {
		d.estimate(ctx, c, &req, res.Candidates[0], &p)
	}
	for _, rej := range res.Explanation.Rejected {
		p.Rejections = append(p.Rejections, api.Rejection{Code: rej.Reason, Detail: rej.Text})
	}
	if len(res.Candidates) == 0 {
		p.Code, p.NearestHint = customer.Unfit(res.Explanation)
	}
	return p, nil
}

// pathRounds is how often a plan looks at the next rigs, once those that it found are reached over relays only.
const pathRounds = 3

// match is the book's answer once it is known how those that fit are reached.
func match(ctx context.Context, c *customer.Customer, req *customer.Request) (res book.Result, rented bool) {
	for range pathRounds {
		res, rented = c.Book.Match(req)
		if !c.Quotes.Paths(ctx, res.Candidates) {
			return res, rented
		}
	}
	return c.Book.Match(req)
}

// filesMax is how many bytes of files a candidate takes each way; 0: no bound.
func filesMax(c book.Candidate) uint64 {
	if c.Relayed {
		return p2p.RelayFiles
	}
	return 0
}

// estimate fills in what the order takes and buys at the best candidate, and whether the wallet can pay it: by the sum
// that funding will ask for. A ledger that does not answer leaves the wallet's figures out: the order will say so, if
// it still is so then.
func (d *Desk) estimate(ctx context.Context, c *customer.Customer, req *customer.Request, cand book.Candidate,
	p *api.Plan) {
	e := c.Quotes.Estimate(ctx, req, cand, usualClaimFee)
	p.Quoted, p.Deposit, p.ClaimFee = e.Quoted, api.SOL(e.Deposit), api.SOL(e.ClaimFee)
	p.RunsMS, p.GraceMS, p.HoldMS = e.Runs.Milliseconds(), e.Grace.Milliseconds(), e.Hold.Milliseconds()
	p.AtRisk, p.AsleepMS = api.SOL(e.AtRisk), e.Asleep.Milliseconds()
	if err := customer.CapFits(cand.Rate, req, e.Tick); err != nil {
		p.Feasible, p.Code, p.Detail, p.NearestHint = false, err.Code, err.Detail, err.Hint
		return
	}
	in := escrow.Intent{Op: escrow.OpOpen, Amount: e.Deposit, ClaimFee: e.ClaimFee}
	switch {
	case e.Reuses && e.Deposit > 0:
		in.Op = escrow.OpTopUp
	case e.Reuses:
		in.Op = escrow.OpFinish // a fee at its end is all that it takes from the wallet
	}
	n, ok := d.Needs(ctx, in)
	if !ok {
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
		p.NearestHint = d.Hint(short)
	}
}
