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
	ch, err := p.channelByID(l.channel)
	if err != nil {
		return err
	}
	// vouchers of the lease may go up to the new cap from the commit on with which it works for it
	err = l.actor.DoWith(ctx, func(ctx context.Context, apply applyFunc) error {
		return p.keep(ctx, ch, func(e *entry) error {
			m, effects, err := apply(market.CapRaised{Cap: a.Cap})
			if err != nil {
				return err
			}
			add, err := l.stage(m, effects)
			if err != nil {
				return err
			}
			e.Account = e.Account.RaiseCap(l.id, a.Cap)
			e.Add(add)
			return nil
		})
	})
	if errors.Is(err, market.ErrIllegal) {
		return market.Refuse(market.CodeConflict, market.KindConflict, "the lease is "+l.actor.Lease().State.String())
	} else if err != nil {
		return err
	}
	p.log.Info("Lease's cap was raised", "lease", l.id, "cap", a.Cap)
	return nil
}
