package provider

import (
	"context"
	"errors"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/streams"
	"github.com/gpuai/gpuai/p2p/wire"
)

var _ streams.Amender = (*Provider)(nil)

// Amend raises the cap of a lease by its customer's signature; nil once it is on disk. A cap that is not higher changes
// nothing, so a repeat is free. Refusals: malformed, signer-not-peer, unknown-lease; conflict: the job has begun to
// stop, or is over.
func (p *Provider) Amend(ctx context.Context, from market.NodeID, raw []byte) error {
	if err := p.started(ctx, p.loaded); err != nil {
		return err
	}
	a, env, err := wire.OpenAmend(raw, p.cfg.Network)
	if err != nil {
		return market.Refuse(market.CodeMalformed, market.KindInvalid, err.Error())
	}
	if env.Signer != from {
		return market.Refuse(market.CodeSignerNotPeer, market.KindDenied, "")
	}
	l, err := p.ownLease(from, a.Lease)
	if err != nil {
		return err
	}
	m := l.actor.Lease()
	if a.Cap <= m.Limit() {
		return nil
	}
	if !m.Legal(market.CapRaised{}) {
		return market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+m.State.String())
	}
	if err := p.raiseShare(ctx, l, a.Cap); err != nil {
		return err
	}
	if err := l.actor.Do(ctx, market.CapRaised{Cap: a.Cap}); errors.Is(err, market.ErrIllegal) {
		return market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+l.actor.Lease().State.String())
	} else if err != nil {
		return err
	}
	p.log.Info("Lease's cap was raised", "lease", l.id, "cap", a.Cap)
	return nil
}

// raiseShare lets vouchers of the lease go up to the new cap; before the lease itself, which works for it then.
func (p *Provider) raiseShare(ctx context.Context, l *leaseRun, to market.Amount) error {
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	crow := ch.row
	crow.Account = crow.Account.RaiseCap(l.id, to)
	return p.keepRow(ctx, ch, crow)
}
