package provider

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// status is the whole truth about a lease, pushed and polled alike.
func (l *leaseRun) status() market.Status {
	m := l.actor.Lease()
	held, share := l.held()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := market.Status{
		Lease: l.id, State: m.State, Cause: string(m.Code), Detail: m.Detail, HighestVoucher: m.Paid,
		Devices:  l.row.Seen,
		ExitCode: m.Exit,
		Receipt:  l.tick.Receipt, Decision: l.row.Decision, Outcome: l.row.Outcome,
	}
	if held.Amount > 0 {
		s.Voucher, s.VoucherSig, s.LeaseAmount = held.Encode(), held.Sig, share
	}
	if m.State == market.Paused {
		s.Cause = m.Cause
	}
	if m.State == market.Preparing {
		s.Phase, s.Done, s.Total = l.seen.Progress.Phase, l.seen.Progress.Done, l.seen.Progress.Total
		if l.seen.State == job.Created && !l.inputs.ready.Load() {
			s.Phase = "inputs"
		}
	}
	return s
}

// held is the channel's voucher with the most money, and this lease's share of it: a customer that lost its store's
// last seconds takes it back.
func (l *leaseRun) held() (escrow.Signed, market.Amount) {
	ch, err := l.p.channelByID(l.channel)
	if err != nil {
		return escrow.Signed{}, 0 // a new lease, which nobody has paid yet
	}
	a, _ := ch.See()
	return a.Newest, a.Leases[l.id].Paid
}

func (l *leaseRun) pushStatus() {
	s := l.status()
	l.p.pushTo(l.customer, streams.VoucherPush{Status: &s})
}

// resend repeats the newest documents to a customer that has come back.
func (l *leaseRun) resend() {
	l.pushStatus()
	l.mu.Lock()
	raw := l.tick.Receipt
	l.mu.Unlock()
	if raw != nil {
		l.p.pushTo(l.customer, streams.VoucherPush{Receipt: raw})
	}
}

// Status answers a customer about its lease. Refusal: unknown-lease.
func (p *Provider) Status(ctx context.Context, from market.NodeID, id market.LeaseID) (market.Status, error) {
	if err := p.started(ctx, p.loaded); err != nil {
		return market.Status{}, err
	}
	l, err := p.ownLease(from, id)
	if err == nil {
		return l.status(), nil
	}
	p.mu.Lock()
	d, refused := p.refused[id]
	deciding := p.deciding[id]
	p.mu.Unlock()
	switch {
	case refused:
		d.Detail, d.At = cut(d.Detail), d.At.Truncate(time.Millisecond)
		s := market.Status{Lease: id, State: market.Refused, Cause: string(d.Code), Detail: d.Detail}
		if s.Decision, err = wire.SealDecision(p.cfg.Key, p.cfg.Network, d); err != nil {
			return s, fmt.Errorf("seal decision: %w", err)
		}
		return s, nil
	case deciding:
		return market.Status{Lease: id, State: market.Proposed}, nil
	}
	return market.Status{}, err
}

func cut(s string) string { return s[:min(len(s), 256)] }

// Stop ends a lease for its customer.
func (p *Provider) Stop(ctx context.Context, from market.NodeID, raw []byte) error {
	s, env, err := wire.OpenStop(raw, p.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	if err := p.started(ctx, p.loaded); err != nil {
		return err
	}
	l, err := p.ownLease(from, s.Lease)
	if err != nil {
		return err
	}
	grace := s.StopGrace
	if grace == 0 {
		grace = -1
	}
	err = l.tell(ctx, market.StopAsked{By: market.CustomerSide, Code: stopCode(s.Code), Grace: grace})
	l.poke()
	return err
}

// stopCode is the end reason that a customer's Stop may give. Any other word of a peer would let it choose whose fault
// the end is.
func stopCode(code market.Code) market.Code {
	switch code {
	case market.CodeNeverUsed, market.CodeStartTimeout, market.CodeNotAsQuoted, market.CodeMeterDispute,
		market.CodeEquivocation, market.CodeMaxDuration,
		market.CodeChannelClosing:
		return code
	}
	return market.CodeStopped
}

// Outcome takes the customer's signed Outcome and answers with the own one. Refusal: conflict while the job is not
// over.
func (p *Provider) Outcome(ctx context.Context, from market.NodeID, raw []byte) ([]byte, error) {
	o, env, err := wire.OpenOutcome(raw, p.cfg.Network)
	if err != nil {
		return nil, market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return nil, market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	if err := p.started(ctx, p.loaded); err != nil {
		return nil, err
	}
	l, err := p.ownLease(from, o.Lease)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	own := l.row.Outcome
	l.mu.Unlock()
	m := l.actor.Lease()
	if own == nil || m.State < market.Closing {
		return nil, market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+m.State.String())
	}
	if err := l.update(ctx, func(r *leaseRow) { r.PeerOutcome = raw }); err != nil {
		return nil, err
	}
	// A customer that agrees has its outputs: it signs their root.
	if m.OutputsRoot == o.OutputsRoot || m.OutputsRoot == ([32]byte{}) {
		if err := l.tell(ctx, market.OutputsServed{}); err != nil {
			return nil, err
		}
	}
	if err := l.tell(ctx, market.OutcomeAgreed{KeepChannel: o.KeepChannel}); err != nil {
		return nil, err
	}
	return own, nil
}

// imageOf reads the pinned image out of the Order: "name@sha256:…".
func imageOf(o market.Order) spec.ImageRef {
	name, digest, _ := strings.Cut(o.Image, "@")
	return spec.ImageRef{Ref: name, Manifest: digest, Platform: o.Platform, CompressedBytes: o.ImageBytes}
}
