package indextest

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/p2p/wire"
)

// rig is a provider of the story.
type rig struct {
	key     ed25519.PrivateKey
	payout  market.Address
	model   model
	rate    int64
	devices int
	live    bool
	peer    string
}

const numRigs = 40

var countries = []string{"DE", "DE", "DE", "FI", "FI", "US", "US", "US", "FR", "FR", "FR", "PL", "NL", "SE"}

// sell makes the rigs and their newest Offers; the last three have gone.
func (m *maker) sell() error {
	for n := range numRigs {
		r := rig{key: key("rig", n), payout: seed("payout", n), model: models[n%len(models)], live: n < numRigs-3,
			devices: []int{1, 2, 4, 8}[m.rand.IntN(4)]}
		r.rate, r.peer = m.around(r.model.rate, 18), node(r.key).String()
		m.rigs = append(m.rigs, r)
		c := countries[n%len(countries)]
		o := market.Offer{Seq: uint64(m.now.Add(-time.Duration(1+n) * time.Minute).UnixMilli()),
			Lifetime: 2 * time.Hour,
			Mints:    []market.Address{{}}, Payout: r.payout, Version: []string{"0.1.0", "0.1.1"}[min(n%5, 1)],
			Fields: market.Fields{market.FieldCountry: uint64(c[0])<<8 | uint64(c[1]),
				market.FieldCPU: uint64(8000 * r.devices),
				market.FieldRAM: uint64(64<<10) * uint64(r.devices), market.FieldDisk: 900 << 10},
			Groups: []market.DeviceGroup{{Class: r.model.class(), Name: r.model.name,
				Rates:  []market.Rate{market.Rate(r.rate)},
				Fields: market.Fields{market.FieldVRAM: r.model.gib << 10}}}}
		for i := range r.devices {
			o.Groups[0].Devices = append(o.Groups[0].Devices, market.DeviceID(short("device", n*64+i)))
		}
		o.Groups[0].Free = 1<<(m.rand.IntN(r.devices+1)) - 1
		if !r.live {
			o.Seq = uint64(m.now.Add(-26 * time.Hour).UnixMilli())
		}
		raw, err := wire.SealOffer(r.key, m.network, o)
		if err == nil {
			o, _, err = wire.OpenOffer(raw, m.network)
		}
		if err != nil {
			return err
		}
		row, _ := rows.Offer(o, raw)
		m.change.Rigs = append(m.change.Rigs, row)
	}
	m.story.Model, m.story.Provider = m.rigs[0].model.class(), m.rigs[0].peer
	return nil
}

// probesADay are fewer than an indexer makes, and enough to draw a bar.
const probesADay = 4

// probe makes 90 days of probes: the first rigs answer always, others have bad days.
func (m *maker) probe() error {
	for n, r := range m.rigs {
		for day := 89 - n; day >= 0; day-- {
			bad := n > 3 && m.rand.IntN(9) == 0
			for i := range probesADay {
				at := m.now.AddDate(0, 0, -day).Add(-time.Duration(i*5+n%5) * time.Minute)
				ok := r.live && (!bad || i > 1) || !r.live && day > 1
				p := db.Probe{Peer: r.peer, At: at.UnixMilli(), OK: ok}
				if ok {
					p.RTT = 4_000 + m.rand.Int64N(90_000)
				}
				m.change.Probes = append(m.change.Probes, p)
			}
		}
	}
	slices.SortFunc(m.change.Probes, func(a, b db.Probe) int { return int(a.At - b.At) })
	for range 500 {
		m.change.Delays = append(m.change.Delays, db.Delay{At: m.now.Add(-time.Duration(m.rand.IntN(1300)) *
			time.Minute).UnixMilli(), Micros: 90_000 + m.rand.Int64N(300_000)})
	}
	return nil
}

// prices makes what was asked in each hour, around a price that drifts over the days and sways over each.
func (m *maker) prices() error {
	for _, kind := range models {
		drift := int64(1000)
		for h := days * 24; h >= 0; h-- {
			at := m.now.Truncate(time.Hour).Add(-time.Duration(h) * time.Hour)
			drift = min(max(drift+m.rand.Int64N(9)-4, 850), 1150)
			mid := kind.rate * drift / 1000
			busy := int64(max(at.Hour()-6, 0)*3/2) + m.rand.Int64N(4)
			m.change.Buckets = append(m.change.Buckets,
				db.Bucket{Metric: db.MetricAsk, Key: kind.class(), Mint: db.SOLMint,
					Step: db.HourStep, At: at.UnixMilli(), N: 5, Low: mid * 82 / 100, P10: mid * 85 / 100, P50: mid,
					P90: mid * 115 / 100, High: mid * 118 / 100, Devices: 32, Free: 32 - busy, Leased: busy,
					Wanted: max(busy-18, 0)})
		}
	}
	return nil
}

// want makes the Wants of now: of each third model, some at a price.
func (m *maker) want() error {
	for n := range 12 {
		kind := models[n%3*2]
		w := market.Want{Customer: node(key("customer", n)), Seq: uint64(m.now.Add(-time.Minute).UnixMilli()),
			Lifetime: 15 * time.Minute, Slot: uint8(n % market.WantSlots), Classes: []string{kind.class()},
			Devices: 1 + n%4, MaxDuration: time.Duration(1+n) * time.Hour}
		if n%4 > 0 {
			w.MaxRate = market.Rate(kind.rate * int64(60+n) / 100)
		}
		if n == 5 {
			w.Classes = append(w.Classes, models[1].class())
		}
		if err := w.Valid(); err != nil {
			return fmt.Errorf("want %d: %w", n, err)
		}
		m.change.Wants = append(m.change.Wants, rows.Want(w))
	}
	return nil
}
