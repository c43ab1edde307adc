package book

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

// TestQueryOf_SaysWhatTheOrderNeeds: classes apart from other terms, and what an order takes of a rig as minimums.
func TestQueryOf_SaysWhatTheOrderNeeds(t *testing.T) {
	t.Parallel()
	class, notCPU := market.Term{Classes: []string{"h100", "a100"}}, market.Term{Classes: []string{"cpu"}, Not: true}
	vram := market.Term{Field: market.FieldVRAM, Lo: 24 << 10}
	soft := market.Term{Classes: []string{"h100"}, Soft: true}
	egress := market.Term{Field: market.FieldEgress, In: []uint64{uint64(market.EgressWeb)}}
	for name, c := range map[string]struct {
		order market.Order
		want  Query
	}{
		"gpu": {market.Order{Constraints: []market.Term{vram, class, soft}, Devices: 2, Egress: market.EgressWeb,
			CPUMilli: 2000, RAM: 4 << 30, Disk: 1 << 30, MaxRate: 7, Mint: market.Address{1}},
			Query{Classes: class.Classes, Devices: 2, MaxRate: 7, Mint: market.Address{1}, Terms: []market.Term{
				egress, vram, soft, {Field: market.FieldRigCPU, Lo: 2000}, {Field: market.FieldRigRAM, Lo: 4096},
				{Field: market.FieldDisk, Lo: 1024}}}},
		"any": {market.Order{Constraints: []market.Term{notCPU}, Devices: 1, Egress: market.EgressWeb},
			Query{Devices: 1, Terms: []market.Term{egress, notCPU}}},
	} {
		if d := cmp.Diff(c.want, QueryOf(c.order)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
