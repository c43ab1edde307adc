package provider

import (
	"strings"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// messages is the hook of what the customer hears of its lease.
type messages struct{ l *leaseRun }

// status is the whole truth about a lease, pushed and polled alike.
func (h messages) status() market.Status {
	l := h.l
	m := l.actor.Lease()
	held, share := h.held()
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
func (h messages) held() (escrow.Signed, market.Amount) {
	l := h.l
	ch, err := l.d.books.byID(l.channel)
	if err != nil {
		return escrow.Signed{}, 0 // a new lease, which nobody has paid yet
	}
	a, _ := ch.See()
	return a.Newest, a.Leases[l.id].Paid
}

func (h messages) push() {
	s := h.status()
	h.l.d.sessions.push(h.l.customer, streams.VoucherPush{Status: &s})
}

// resend repeats the newest documents to a customer that has come back.
func (h messages) resend() {
	l := h.l
	h.push()
	l.mu.Lock()
	raw := l.tick.Receipt
	l.mu.Unlock()
	if raw != nil {
		l.d.sessions.push(l.customer, streams.VoucherPush{Receipt: raw})
	}
}

func cut(s string) string { return s[:min(len(s), 256)] }

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

// imageOf reads the pinned image out of the Order: "name@sha256:…".
func imageOf(o market.Order) spec.ImageRef {
	name, digest, _ := strings.Cut(o.Image, "@")
	return spec.ImageRef{Ref: name, Manifest: digest, Platform: o.Platform, CompressedBytes: o.ImageBytes}
}
