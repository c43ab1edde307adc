package rig

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
)

// issued is the Offer that was sent last. reach are the addresses in it.
type issued struct {
	seq   uint64
	id    market.DocID
	reach []string
}

var seqKey = []byte("seq")

// build states the whole rig as it is now. Caller holds mu.
func (r *Rig) build(seq uint64, reach []string, prices Prices) market.Offer {
	o := market.Offer{
		Provider: r.cfg.ID, Seq: seq, Lifetime: offerLife, Payout: r.cfg.Payout, Version: r.cfg.Version,
		Mints: []market.Address{{}}, Fields: fields(r.cfg, r.shop, prices), Reach: reach,
	}
	if !r.shop.sells() {
		return o
	}
	byClass := map[string]int{}
	for i, d := range r.table.devices {
		row := r.table.rows[r.table.ids[i]]
		if row.State == Quarantined {
			continue
		}
		gi, ok := byClass[d.Class]
		if !ok {
			gi = len(o.Groups)
			byClass[d.Class] = gi
			o.Groups = append(o.Groups, market.DeviceGroup{Class: d.Class, Name: d.Model, Fields: d.Fields,
				Rates: []market.Rate{prices.Of(d.Class)}})
		}
		g := &o.Groups[gi]
		if row.State == Free {
			g.Free |= 1 << len(g.Devices)
		}
		g.Devices = append(g.Devices, r.table.ids[i])
	}
	return o
}

// fields are those of the rig.
func fields(cfg Config, s shop, prices Prices) market.Fields {
	n := uint64(max(s.devices, 1))
	f := market.Fields{ // shares of a device are rounded up: all together are no less than the rig
		market.FieldCPU: (uint64(cfg.CPUMilli) + n - 1) / n, market.FieldRAM: (cfg.RAM>>20 + n - 1) / n,
		market.FieldDisk: cfg.Disk >> 20,
		// what shares that are rounded up cannot say
		market.FieldRigCPU: uint64(cfg.CPUMilli), market.FieldRigRAM: cfg.RAM >> 20,
		market.FieldEgress: uint64(egressBits(s.health.egress)), market.FieldArch: 1, market.FieldIsolation: 1,
		market.FieldMinCloseDelay: uint64(cfg.MinCloseDelay / time.Second),
		market.FieldTickMin:       uint64(cfg.Tick.Milliseconds()),
		market.FieldTickMax:       uint64(cfg.Tick.Milliseconds()),
	}
	if prices.MaxTime > 0 {
		f[market.FieldMaxTime] = uint64(prices.MaxTime / time.Second)
	}
	return f
}

// egressBits are all classes up to the widest one offered.
func egressBits(widest uint8) uint8 { return widest | (widest - 1) }

// hideHeld takes what holds keep out of what is free.
func hideHeld(groups []market.DeviceGroup, holds []*hold) {
	held := map[market.DeviceID]bool{}
	for _, h := range holds {
		for _, d := range h.devices {
			held[d] = true
		}
	}
	for gi := range groups {
		for i, d := range groups[gi].Devices {
			if held[d] {
				groups[gi].Free &^= 1 << i
			}
		}
	}
}

// leastNamed are the free devices of a group, those with the lowest count first.
func leastNamed(g market.DeviceGroup, named map[market.DeviceID]int) (out []market.DeviceID) {
	for i, d := range g.Devices {
		if g.Free&(1<<i) != 0 {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b market.DeviceID) int { return named[a] - named[b] })
	return out
}

// publish signs and sends a new Offer; the sequence number is on disk before it leaves.
func (a announcer) publish(ctx context.Context) error {
	reach, prices := a.deps.Reach.Addrs(), a.deps.Prices()
	a.mu.Lock()
	o := a.build(max(a.said.seq+1, uint64(a.deps.Now().UnixMilli())), reach, prices)
	a.mu.Unlock()
	put := store.Put{Bucket: store.BucketOffers, Key: seqKey, Value: store.Row(o.Seq)}
	if err := a.deps.Store.Commit(ctx, store.Change{Puts: []store.Put{put}}); err != nil {
		return fmt.Errorf("store offer sequence: %w", err)
	}
	raw, err := wire.SealOffer(a.cfg.Key, a.cfg.Network, o)
	if err != nil {
		return fmt.Errorf("seal offer: %w", err)
	}
	env, err := wire.Open(raw, a.cfg.Network)
	if err != nil {
		return fmt.Errorf("open own offer: %w", err)
	}
	a.mu.Lock()
	a.said = issued{o.Seq, env.ID, o.Reach}
	a.mu.Unlock()
	return a.deps.Pub.Publish(ctx, raw)
}

// View is the rig as people see it.
type View struct {
	Selling bool
	Why     string    // why nothing is sold, "" if it is or the owner paused it
	Since   time.Time // it sells, or does not
	Devices []Device
}

// Device is one device. State: free, leased, clearing, quarantined or withdrawn; Lease is zero when there is none.
type Device struct {
	ID    market.DeviceID
	Class string
	State string
	Lease market.LeaseID
	Rate  market.Rate
}

// View returns the rig's state now.
func (r *Rig) View() View {
	prices := r.deps.Prices()
	r.mu.Lock()
	defer r.mu.Unlock()
	v := View{Selling: r.shop.sells(), Why: r.shop.reason(), Since: r.shop.since}
	for i, d := range r.table.devices {
		row := r.table.rows[r.table.ids[i]]
		dv := Device{ID: r.table.ids[i], Class: d.Class, State: row.State.String(), Rate: prices.Of(d.Class)}
		if row.State == Leased || row.State == Clearing {
			dv.Lease = row.Lease
		}
		v.Devices = append(v.Devices, dv)
	}
	if len(v.Devices) == 0 {
		v.Selling, v.Why = false, "no device: nothing was found that can be sold"
	}
	return v
}
