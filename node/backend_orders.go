package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Offers implements api.Backend: one row per device group.
func (b *Backend) Offers(ctx context.Context) ([]api.Offer, error) {
	c, err := b.customer()
	if err != nil {
		return nil, err
	}
	c.AwaitOffers(ctx)
	out := []api.Offer{}
	for _, o := range c.Offers() {
		for _, g := range o.Groups {
			row := api.Offer{
				Schema: "gpuai.offer/v1", Provider: o.Provider.String(), Class: g.Class, Devices: len(g.Devices),
				Free:     bits.OnesCount64(g.Free),
				CPUMilli: uint32(min(o.Fields[market.FieldCPU], 1<<32-1)),
				RAMBytes: mebibytes(o.Fields[market.FieldRAM]), DiskBytes: mebibytes(o.Fields[market.FieldDisk]),
				Egress: uint8(o.Fields[market.FieldEgress]), Tick: int64(o.Fields[market.FieldTickMin]),
				Facts: map[string]string{}, Seen: rest.At(time.UnixMilli(int64(o.Seq))),
			}
			if len(g.Rates) > 0 && len(o.Mints) > 0 && o.Mints[0] == (market.Address{}) {
				row.Rate = api.RateSOL(g.Rates[0])
			}
			for _, fields := range []market.Fields{o.Fields, g.Fields} {
				for id, v := range fields {
					row.Facts[id.String()] = market.FormatValue(id, v)
				}
			}
			out = append(out, row)
		}
	}
	return out, nil
}

// mebibytes as bytes, at most what a JavaScript number holds: peers may state anything.
func mebibytes(n uint64) uint64 { return min(n, 1<<33-1) << 20 }

// request is the API's document as the role takes it, its image pinned by the registry. Errors: bad-usage, image-….
func (b *Backend) request(ctx context.Context, r api.OrderRequest) (req customer.Request, err error) {
	req = customer.Request{Key: r.Key, File: r.Job, InputBytes: r.InputBytes, KeepChannel: r.KeepChannel}
	if req.Image, err = b.images.Resolve(ctx, r.Job.Image); err != nil {
		return req, err
	}
	return req, req.Validate()
}

// usualClaimFee is what providers ask for unless their account is new; planFees adds a signature at the start and two
// at the end.
const (
	usualClaimFee = market.Amount(50_000)
	planFees      = 3*market.Amount(escrow.FeePerSignature) + usualClaimFee
)

// Plan implements api.Backend.
func (b *Backend) Plan(ctx context.Context, r api.OrderRequest) (api.Plan, error) {
	c, err := b.customer()
	if err != nil {
		return api.Plan{}, err
	}
	if r.Key == "" {
		r.Key = "plan" // nothing is placed
	}
	req, err := b.request(ctx, r)
	if err != nil {
		return api.Plan{}, err
	}
	c.AwaitFit(ctx, &req)
	res, rented := c.Match(&req)
	p := api.Plan{
		Schema: "gpuai.plan/v1", Image: req.Image.Ref + "@" + req.Image.Manifest, ImageBytes: req.Image.CompressedBytes,
		Candidates: []api.Candidate{},
		Rejections: []api.Rejection{}, MaxTotal: api.SOL(req.File.Limits.MaxTotal),
		AwayMS:   r.Job.Limits.Away.Milliseconds(),
		Feasible: len(res.Candidates) > 0, Request: r,
		Rented: rented, Deposit: api.SOL(0), AtRisk: api.SOL(0), Fees: api.SOL(planFees),
	}
	for _, cand := range res.Candidates {
		total, err := cand.Rate.For(req.File.Devices(), req.File.Limits.MaxDuration)
		if err != nil {
			total = req.File.Limits.MaxTotal
		}
		p.Candidates = append(p.Candidates, api.Candidate{
			Provider: cand.Provider.String(), Class: cand.Offer.Groups[cand.Group].Class, Rate: api.RateSOL(cand.Rate),
			Total: api.SOL(min(total, req.File.Limits.MaxTotal)),
		})
	}
	if len(res.Candidates) > 0 {
		b.estimate(ctx, c, &req, res.Candidates[0], &p)
	}
	for _, rej := range res.Explanation.Rejected {
		p.Rejections = append(p.Rejections, api.Rejection{Code: rej.Reason, Detail: rej.Text})
	}
	if len(res.Candidates) == 0 {
		p.Code, p.NearestHint = market.CodeNoOfferFits, res.Explanation.Hint()
	}
	return p, nil
}

// CreateOrder implements api.Backend.
func (b *Backend) CreateOrder(ctx context.Context, r api.OrderRequest) (api.Order, error) {
	c, err := b.customer()
	if err != nil {
		return api.Order{}, err
	}
	id := customer.OrderIDOf(c.ID(), r.Key)
	if v, err := c.Order(id.String()); err == nil {
		return b.order(v), nil // the same key is the same order
	}
	req, err := b.request(ctx, r)
	if err != nil {
		return api.Order{}, err
	}
	if req.HasInputs() {
		if _, err := c.Await(ctx, req); err != nil {
			return api.Order{}, err
		}
		return b.Order(ctx, id.String())
	}
	if _, err := c.Place(ctx, req); err != nil {
		return api.Order{}, err
	}
	return b.Order(ctx, id.String())
}

// PutInputs implements api.Backend: the archive is rewritten as a safe one while it flows, and counts once it is whole
// on disk.
func (b *Backend) PutInputs(ctx context.Context, ref string, r io.Reader) error {
	c, err := b.customer()
	if err != nil {
		return err
	}
	id, err := market.ParseOrderID(ref)
	if err != nil {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "take inputs",
			Detail: "this is no order id", Err: err, Hint: "use the id of the created order"}
	}
	req, waits, err := c.Waits(ctx, id)
	if err != nil || !waits {
		return err // placed already: a repeat
	}
	left, err := spool(c.InputsPath(id), r, req.InputBytes)
	if err != nil {
		return err
	}
	return c.Supplied(ctx, id, left)
}

// spool writes inputs as a safe archive, whole or not at all. left has no entries, only what it leaves out.
func spool(path string, r io.Reader, limit uint64) (left spec.Manifest, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return left, fmt.Errorf("make spool: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".inputs-*")
	if err != nil {
		return left, fmt.Errorf("spool inputs: %w", err)
	}
	m, err := spec.Filter(r, f, spec.Limits{Total: limit}, nil)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return left, fmt.Errorf("spool inputs: %w", errors.Join(spec.Full(err, "free some space, then send them again"),
			os.Remove(f.Name())))
	}
	return spec.Manifest{Skipped: m.Skipped, More: m.More}, nil
}

// Orders implements api.Backend.
func (b *Backend) Orders(_ context.Context, all bool) ([]api.Order, error) {
	if b.n.early() {
		return []api.Order{}, nil // none was ever placed
	}
	c, err := b.customer()
	if err != nil {
		return nil, err
	}
	out := []api.Order{}
	for _, v := range c.Orders() {
		if all || !over(v) {
			out = append(out, b.order(v))
		}
	}
	return out, nil
}

// Order implements api.Backend.
func (b *Backend) Order(_ context.Context, id string) (api.Order, error) {
	c, err := b.customer()
	if err != nil {
		return api.Order{}, err
	}
	v, err := c.Order(id)
	if err != nil {
		return api.Order{}, err
	}
	return b.order(v), nil
}

// RaiseCap implements api.Backend.
func (b *Backend) RaiseCap(ctx context.Context, id string, amount market.Amount) (api.Order, error) {
	c, err := b.customer()
	if err != nil {
		return api.Order{}, err
	}
	if err := c.RaiseCap(ctx, id, amount); err != nil {
		return api.Order{}, err
	}
	return b.Order(ctx, id)
}

// StopOrder implements api.Backend.
func (b *Backend) StopOrder(ctx context.Context, id string, now bool) error {
	c, err := b.customer()
	if err != nil {
		return err
	}
	return c.StopOrder(ctx, id, now)
}

// GetOutputs implements api.Backend. Error: not-found while there are none.
func (b *Backend) GetOutputs(ctx context.Context, id string, w io.Writer) error {
	c, err := b.customer()
	if err != nil {
		return err
	}
	v, err := c.Order(id)
	if err != nil {
		return err
	}
	f, err := os.Open(c.OutputsPath(v.ID))
	if errors.Is(err, os.ErrNotExist) {
		return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "read outputs",
			Detail: "the order has no outputs, or not yet", Hint: "gpuai show " + v.ID.String()}
	}
	if err != nil {
		return fmt.Errorf("read outputs: %w", err)
	}
	defer f.Close()
	if _, err = io.Copy(w, f); err != nil {
		return err
	}
	return c.Fetched(context.WithoutCancel(ctx), v.ID)
}

// Receipt implements api.Backend.
func (b *Backend) Receipt(_ context.Context, id string) (api.Receipt, error) {
	c, err := b.customer()
	if err != nil {
		return api.Receipt{}, err
	}
	v, err := c.Order(id)
	if err != nil {
		return api.Receipt{}, err
	}
	return api.Receipt{Schema: "gpuai.receipt/v1", Order: b.order(v), Lease: v.RawLease, Receipt: v.Receipt,
		Outcome: v.Outcome, OwnOutcome: v.OwnOutcome}, nil
}

func (b *Backend) order(v customer.View) api.Order {
	o := api.Order{
		Schema: "gpuai.order/v1", ID: v.ID.String(), Name: v.Request.File.Name, Labels: v.Request.File.Labels,
		Standing: v.Standing, Code: v.Code,
		Detail: v.Detail, Hint: v.Hint,
		Image: v.Request.Image.Ref, Devices: v.Request.File.Devices(), Rate: api.RateSOL(v.Rate),
		Cap: api.SOL(v.Request.File.Limits.MaxTotal), Owed: api.SOL(0),
		Paid: api.SOL(paidOf(v)), SignedAhead: api.SOL(aheadOf(v)), AtRisk: api.SOL(0),
		NetworkFees: api.SOL(v.Costs.Network), ClaimFee: api.SOL(v.Costs.ClaimFee),
		Cost: api.SOL(paidOf(v) + v.Costs.Network + v.Costs.ClaimFee), StorageDeposit: api.SOL(v.Costs.Storage),
		CreatedAt: rest.At(v.Created), Steps: []api.Step{},
		Progress: api.Progress{Phase: v.Phase, Done: v.Done, Total: v.Total},
		Deposit:  api.SOL(v.Deposit), Returned: api.SOL(v.Returned), FinishTx: v.FinishSig, Finished: v.Finished,
		RefundLater: v.RefundLater, OutputsReady: v.OutputsReady,
		OutcomeSignedByBoth: v.BothSigned, OrderFiles: filesOf(v),
	}
	if v.Code == market.CodeFundsShort && b.n != nil && b.n.Spending() != nil {
		o.Hint = b.fundHint(0)
	}
	if v.Provider != (market.NodeID{}) {
		o.Provider = v.Provider.String()
	}
	if v.Channel != (market.ChannelID{}) {
		o.Channel = v.Channel.String()
	}
	if !v.ReadyAt.IsZero() {
		at := rest.At(v.ReadyAt)
		o.ReadyAt = &at
	}
	if v.PayeeWaits > 0 {
		w := api.SOL(v.PayeeWaits)
		o.PayeeWaits = &w
	}
	if !v.RefundDue.IsZero() {
		at := rest.At(v.RefundDue)
		o.RefundDue = &at
	}
	if v.Log != nil && (v.Log.Total > 0 || v.Log.Over && o.ReadyAt != nil) {
		s := logState(*v.Log)
		o.Logs = &s
	}
	if v.OutputsRoot != ([32]byte{}) {
		o.OutputsRoot = hex.EncodeToString(v.OutputsRoot[:])
	}
	for _, s := range v.Steps {
		o.Steps = append(o.Steps, api.Step{At: rest.At(s.At), Phase: s.Phase, Detail: s.Detail})
	}
	if m := v.Lease; m != nil {
		o.LeaseID, o.State, o.Cause = m.ID.String(), m.State.String(), m.Cause
		o.Owed, o.OwnMS, o.BillableMS, o.ReceiptSeq = api.SOL(m.Claim), int64(m.Meter.BillableMS), int64(m.ClaimMS),
			m.ReceiptSeq
		o.ExitCode = exitOf(m)
		if m.Fault != 0 {
			o.Fault = m.Fault.String()
		}
		o.AtRisk = api.SOL(riskOf(v))
		if m.State.Live() || m.State == market.Silent {
			left, money := m.Left()
			_, grace := market.CapTime(m.Terms.Rate, m.Terms.Devices, m.Limit(), m.Terms.MaxDuration, m.Terms.StopGrace)
			_, runs := m.Asleep()
			o.AsleepMS, o.HoldMS = runs.Milliseconds(), m.Terms.Hold.Milliseconds()
			o.StopsInMS, o.CapLeft, o.GraceMS = left.Milliseconds(), api.SOL(money), grace.Milliseconds()
		}
		if !m.HeardAt.IsZero() && !o.Ended() {
			at := rest.At(m.HeardAt)
			o.HeardAt = &at
		}
		if why, hint := v.Silence(); why != "" && !o.Ended() {
			o.Detail, o.Hint = why, hint
		}
	}
	return o
}

// paidOf is what the order's job has cost: due by the meter while the channel lives, then what the ledger has settled.
func paidOf(v customer.View) market.Amount {
	switch {
	case v.Finished:
		return v.Paid
	case v.Lease == nil:
		return 0
	}
	return v.Lease.Due()
}

// aheadOf is what is signed beyond it. Until the channel is finished its provider could take it, also after the lease.
func aheadOf(v customer.View) market.Amount {
	if v.Finished || v.Lease == nil {
		return 0
	}
	return v.Lease.Ahead()
}

// riskOf is the most that the order may lose while this computer sleeps from now on.
func riskOf(v customer.View) market.Amount {
	if v.Lease == nil || v.Finished {
		return 0
	}
	risk, _ := v.Lease.Asleep()
	return max(risk, v.Lease.Ahead())
}

// exitOf is the job's exit code as the provider told it; nil while the job has not ended by itself and no code was
// told.
func exitOf(m *market.Lease) *int {
	exit := int(m.Exit)
	if m.State.Live() || exit == 0 && m.Code != market.CodeCompleted {
		return nil
	}
	return &exit
}
