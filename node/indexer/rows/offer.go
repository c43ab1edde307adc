// Package rows makes what an index keeps of documents and accounts.
//
// Invariants: a figure that fits no column is in no row. Concurrency: pure. Persistence: none. Next: node/indexer/db.
package rows

import (
	"math/bits"
	"slices"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/p2p/wire"
)

// maxMiB of a stated size: more is no rig's, and its bytes would not fit a column.
const maxMiB = 1 << 40

// Offer is the rig of an Offer. refused counts figures that are left out because no rig has them.
func Offer(o market.Offer, raw []byte) (r db.Rig, refused int) {
	mib := func(f market.Fields, id market.FieldID) int64 {
		v := f[id]
		if v > maxMiB {
			refused++
			return 0
		}
		return int64(v) << 20
	}
	r = db.Rig{Peer: o.Provider.String(), Seq: int64(o.Seq), Raw: wire.WithoutReach(raw), Version: o.Version,
		ExpiresAt: int64(o.Seq) + o.Lifetime.Milliseconds(), Payout: o.Payout.String(), Country: country(o.Fields)}
	if o.Payout == (market.Address{}) {
		r.Payout = ""
	}
	var classes []string
	for ix, g := range o.Groups {
		free := int64(bits.OnesCount64(g.Free))
		r.Devices += int64(len(g.Devices))
		r.Free += free
		cpu := o.Fields[market.FieldCPU]
		if cpu > maxMiB {
			refused++
			cpu = 0
		}
		l := db.Lot{Ix: int64(ix), Class: g.Class, Name: g.Name, Devices: int64(len(g.Devices)), Free: free,
			VRAM: mib(g.Fields, market.FieldVRAM), RAM: mib(o.Fields, market.FieldRAM), CPUMilli: int64(cpu),
			Disk: mib(o.Fields, market.FieldDisk), Country: r.Country, Payout: r.Payout, Lead: true,
			Head: !slices.Contains(classes, g.Class)}
		classes = append(classes, g.Class)
		r.Lots = append(r.Lots, priced(l, o.Mints, g.Rates)...)
	}
	return r, refused
}

// priced is a lot at each of its prices, or once without one: it is there, and not sold.
func priced(l db.Lot, mints []market.Address, rates []market.Rate) (out []db.Lot) {
	for i, rate := range rates {
		mint := mintOf(mints[i]) // there are at least as many: the Offer was checked
		if rate == 0 || slices.ContainsFunc(out, func(o db.Lot) bool { return o.Mint == mint }) {
			continue
		}
		l.Mint, l.Rate = mint, int64(rate)
		out = append(out, l)
		l.Lead, l.Head = false, false // counted
	}
	if len(out) == 0 {
		l.Mint = db.SOLMint
		out = append(out, l)
	}
	return out
}

// country is the two letters of a rig's country, "" if it says none.
func country(f market.Fields) string {
	v, ok := f[market.FieldCountry]
	if text := market.FormatValue(market.FieldCountry, v); ok && len(text) == 2 && text[0] >= 'A' {
		return text
	}
	return ""
}
