package provider

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// devState is the persisted state of a device row.
type devState uint8

// Device rows, persisted: append-only.
const (
	devFree devState = iota + 1
	devLeased
	devClearing
	devQuarantined
	devWithdrawn
)

// deviceRow is one device of the rig: what the store holds under bucket devices.
type deviceRow struct {
	State      devState
	Lease      market.LeaseID
	Generation uint32
}

// rateOf is the own rate of a group: by its class, else the default. Caller holds mu.
func (p *Provider) rateOf(g market.DeviceGroup) market.Rate {
	if r, ok := p.policy.Rates[g.Class]; ok {
		return r
	}
	return p.policy.Rate
}

// buildOffer states the whole rig as it is now. Caller holds mu.
func (p *Provider) buildOffer(seq uint64) market.Offer {
	o := market.Offer{
		Provider: p.cfg.ID, Seq: seq, Lifetime: offerLife, Payout: p.cfg.Payout, Version: p.cfg.Version,
		Mints: []market.Address{{}}, Fields: p.rigFields(), Reach: p.reach(),
	}
	if !p.sells() {
		return o
	}
	byClass := map[string]int{}
	for i, d := range p.devices {
		if p.rows[p.deviceIDs[i]].State == devQuarantined {
			continue
		}
		gi, ok := byClass[d.Class]
		if !ok {
			gi = len(o.Groups)
			byClass[d.Class] = gi
			o.Groups = append(o.Groups, market.DeviceGroup{Class: d.Class, Name: d.Model, Fields: d.Fields})
		}
		g := &o.Groups[gi]
		if p.rows[p.deviceIDs[i]].State == devFree {
			g.Free |= 1 << len(g.Devices)
		}
		g.Devices = append(g.Devices, p.deviceIDs[i])
	}
	for i := range o.Groups {
		o.Groups[i].Rates = []market.Rate{p.rateOf(o.Groups[i])}
	}
	return o
}

func (p *Provider) rigFields() market.Fields {
	n := uint64(max(len(p.devices), 1))
	f := market.Fields{ // shares of a device are rounded up: all together are no less than the rig
		market.FieldCPU: (uint64(p.cfg.CPUMilli) + n - 1) / n, market.FieldRAM: (p.cfg.RAM>>20 + n - 1) / n,
		market.FieldDisk: p.cfg.Disk >> 20,
		// what shares that are rounded up cannot say
		market.FieldRigCPU: uint64(p.cfg.CPUMilli), market.FieldRigRAM: p.cfg.RAM >> 20,
		market.FieldEgress: uint64(egressBits(p.health.egress)), market.FieldArch: 1, market.FieldIsolation: 1,
		market.FieldMinCloseDelay: uint64(p.cfg.MinCloseDelay / time.Second),
		market.FieldTickMin:       uint64(p.cfg.Tick.Milliseconds()),
		market.FieldTickMax:       uint64(p.cfg.Tick.Milliseconds()),
	}
	if p.policy.MaxTime > 0 {
		f[market.FieldMaxTime] = uint64(p.policy.MaxTime / time.Second)
	}
	return f
}

// egressBits are all classes up to the widest one offered.
func egressBits(widest uint8) uint8 { return widest | (widest - 1) }

// publish signs and sends a new Offer; the sequence number is on disk before it leaves.
func (p *Provider) publish(ctx context.Context) error {
	p.mu.Lock()
	seq := max(p.offerSeq+1, uint64(p.now().UnixMilli()))
	o := p.buildOffer(seq)
	p.mu.Unlock()
	if err := p.put(ctx, bucketOffers, []byte("seq"), row(seq)); err != nil {
		return fmt.Errorf("store offer sequence: %w", err)
	}
	raw, err := wire.SealOffer(p.cfg.Key, p.cfg.Network, o)
	if err != nil {
		return fmt.Errorf("seal offer: %w", err)
	}
	env, err := wire.Open(raw, p.cfg.Network)
	if err != nil {
		return fmt.Errorf("open own offer: %w", err)
	}
	p.mu.Lock()
	p.offerSeq, p.offerID, p.told = seq, env.ID, o.Reach
	p.mu.Unlock()
	return p.pub.Publish(ctx, raw)
}
