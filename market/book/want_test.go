package book

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

// TestWantOf_NamesDevicesAndTerms_NothingElse: no local term, no digit that no rate can have, at most four classes.
func TestWantOf_NamesDevicesAndTerms_NothingElse(t *testing.T) {
	t.Parallel()
	classes := []string{"h100", "a100", "a100", "v100", "t4", "l4"}
	vram := market.Term{Field: market.FieldVRAM, Lo: 24 << 10}
	soft := market.Term{Field: market.FieldCC, Lo: 89, Soft: true}
	o := market.Order{
		Constraints: []market.Term{{Classes: classes}, soft, vram, {Field: market.FieldRTT, Hi: 50, HasHi: true}},
		Devices:     2, Egress: market.EgressWeb, MaxRate: 123_456, Mint: market.Address{1}, Budget: 99,
		Image: "secret", MaxDuration: time.Hour + time.Millisecond,
	}
	got, ok := WantOf(o)
	want := market.Want{
		Classes: []string{"a100", "h100", "l4", "t4"}, Devices: 2, MaxRate: 123_400, Mint: market.Address{1},
		MaxDuration: time.Hour,
		Terms:       []market.Term{{Field: market.FieldEgress, In: []uint64{uint64(market.EgressWeb)}}, vram, soft},
	}
	if d := cmp.Diff(want, got); d != "" || !ok {
		t.Error(ok, d)
	}
	if classes[0] != "h100" {
		t.Error("the order's own terms were sorted")
	}
	for range 20 {
		o.Constraints = append(o.Constraints, market.Term{Field: market.FieldVRAM, Lo: 1, Not: true})
	}
	if got, _ = WantOf(o); len(got.Terms) != market.MaxWantTerms {
		t.Errorf("%d terms", len(got.Terms))
	}
	if _, ok := WantOf(market.Order{Devices: 1}); ok {
		t.Error("a want without a class")
	}
}

// TestServes_SaysWhatIsInTheWay: the offer of one rig against a want, as its owner needs to know it.
func TestServes_SaysWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	offer := market.Offer{Mints: []market.Address{{}}, Lifetime: time.Hour, Groups: []market.DeviceGroup{{
		Devices: []market.DeviceID{{1}, {2}}, Free: 1, Class: "a100", Rates: []market.Rate{2000},
		Fields: market.Fields{market.FieldVRAM: 40 << 10}}}}
	base := market.Want{Classes: []string{"a100", "h100"}, Devices: 1, MaxRate: 2000}
	for name, c := range map[string]struct {
		change func(*market.Want)
		reason string
	}{
		"fits":     {func(*market.Want) {}, ""},
		"any rate": {func(w *market.Want) { w.MaxRate = 0 }, ""},
		"class":    {func(w *market.Want) { w.Classes = []string{"h100"} }, "class"},
		"rented":   {func(w *market.Want) { w.Devices = 2 }, "free"},
		"rate":     {func(w *market.Want) { w.MaxRate = 1999 }, "rate"},
		"term": {func(w *market.Want) { w.Terms = []market.Term{{Field: market.FieldVRAM, Lo: 48 << 10}} },
			"term"},
		"other mint": {func(w *market.Want) { w.Mint = market.Address{7} }, "mint"},
	} {
		w := base
		w.Terms = slices.Clone(base.Terms)
		c.change(&w)
		rate, ok, why := Serves(offer, QueryOfWant(w, false), now)
		if ok != (c.reason == "") || why.Reason != c.reason || ok && rate != 2000 {
			t.Errorf("%s: rate %d, %v, %+v", name, rate, ok, why)
		}
	}
	w := base
	w.Devices = 2
	if _, ok, _ := Serves(offer, QueryOfWant(w, true), now); !ok {
		t.Error("it would serve once its devices are free")
	}
	if _, ok, why := Serves(market.Offer{}, QueryOfWant(base, false), now); ok || why.Reason != "" {
		t.Error("an empty offer serves", why)
	}
}
