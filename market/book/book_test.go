package book

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

var t0 = time.UnixMilli(1_800_000_000_000)

func node(n int) (id market.NodeID) {
	id[0], id[1], id[2] = byte(n), byte(n>>8), byte(n>>16)
	return id
}

func offer(n int, class string, vram uint64, rate market.Rate, devices int) market.Offer {
	g := market.DeviceGroup{Class: class, Free: 1<<devices - 1, Rates: []market.Rate{rate}, Fields: market.Fields{}}
	for i := range devices {
		g.Devices = append(g.Devices, market.DeviceIDOf(fmt.Sprint(n, i)))
	}
	if vram > 0 {
		g.Fields[market.FieldVRAM] = vram
	}
	return market.Offer{
		Provider: node(n), Seq: uint64(t0.UnixMilli()), Lifetime: time.Hour, Groups: []market.DeviceGroup{g},
		Mints: []market.Address{{}}, Fields: market.Fields{market.FieldEgress: 3},
	}
}

func filled(t *testing.T, offers ...market.Offer) *Book {
	t.Helper()
	b := New()
	for _, o := range offers {
		if _, err := b.Put(o, market.DocID{}, nil, t0); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func terms(t *testing.T, text string) []market.Term {
	t.Helper()
	out, err := market.ParseTerms(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPut_OlderOrExpired_IsRefusedAndTombstoneStays(t *testing.T) {
	t.Parallel()
	o := offer(1, "rtx-4090", 24<<10, 100, 1)
	b := filled(t, o)
	if _, err := b.Put(o, market.DocID{}, nil, t0); !errors.Is(err, ErrOld) {
		t.Errorf("same seq: %v", err)
	}
	gone := o
	gone.Seq, gone.Groups = o.Seq+2, nil
	if c, err := b.Put(gone, market.DocID{}, nil, t0); err != nil || !c.Removed {
		t.Errorf("withdrawal: %+v, %v", c, err)
	}
	o.Seq++
	if _, err := b.Put(o, market.DocID{}, nil, t0); !errors.Is(err, ErrOld) {
		t.Errorf("older than the tombstone: %v", err)
	}
	if len(b.Offers()) != 0 || b.Rows() != 1 {
		t.Errorf("offers %d, rows %d", len(b.Offers()), b.Rows())
	}
	if n := b.Expire(t0.Add(2 * time.Hour)); n != 1 || b.Rows() != 0 {
		t.Errorf("expired %d, rows %d", n, b.Rows())
	}
	late := offer(2, "t4", 1, 1, 1)
	if _, err := b.Put(late, market.DocID{}, nil, t0.Add(2*time.Hour)); !errors.Is(err, ErrOld) {
		t.Errorf("expired on arrival: %v", err)
	}
}

func TestMatch_Price_RanksAndExplains(t *testing.T) {
	t.Parallel()
	b := filled(t,
		offer(1, "rtx-4090", 24564, 2_400_000, 1),
		offer(2, "rtx-4090", 24564, 1_900_000, 2),
		offer(3, "rtx-4090", 24564, 9_000_000, 1),
		offer(4, "rtx-3060", 12<<10, 500_000, 1),
		offer(5, "cpu", 0, 100_000, 1))
	r := b.Match(Query{Explain: true, Terms: terms(t, "vram >= 24GB"), MaxRate: 3_000_000}, t0)
	if len(r.Candidates) != 2 || r.Candidates[0].Provider != node(2) || r.Candidates[1].Rate != 2_400_000 {
		t.Fatalf("candidates: %+v", r.Candidates)
	}
	x := r.Explanation
	want := "5 rigs looked at, 2 fit: 2 fail only vram >= 22889MiB (1 do not state it) (nearest 12GiB, from " +
		"0.0005/h), 1 ask more (nearest 0.009)"
	if x.Text() != want {
		t.Errorf("text:\n got %s\nwant %s", x.Text(), want)
	}
	if x.Considered != 5 || x.Unstated != 1 {
		t.Errorf("explanation %+v", x)
	}
	if got := x.Hint(); got != "--where 'vram >= 12GiB' (1 rig) · --max-rate 0.009/h (1 rig)" {
		t.Errorf("hint: %s", got)
	}
}

func TestMatch_Devices_RelaxesToFewer(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "h100", 80<<10, 1000, 4), offer(2, "h100", 80<<10, 1200, 2))
	r := b.Match(Query{Explain: true, Classes: []string{"h100"}, Devices: 8}, t0)
	if len(r.Candidates) != 0 || r.Explanation.Hint() != "--gpu h100:4 (1 rig)" {
		t.Errorf("hint %q, %+v", r.Explanation.Hint(), r.Explanation)
	}
}

func TestMatch_UnknownCriticalField_NeedsNewerVersion(t *testing.T) {
	t.Parallel()
	o := offer(1, "t4", 1, 1, 1)
	o.Critical = []market.FieldID{230}
	r := filled(t, o).Match(Query{Explain: true}, t0)
	if len(r.Candidates) != 0 || r.Explanation.TooNew != 1 || !strings.Contains(r.Explanation.Text(), "newer version") {
		t.Errorf("%+v", r.Explanation)
	}
}

func TestMark_TwoFailures_HideForTenMinutes(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "t4", 1, 1, 1))
	b.Mark(node(1), Observation{At: t0, Failed: true})
	if r := b.Match(Query{Explain: true}, t0); len(r.Candidates) != 1 {
		t.Error("hidden after one failure")
	}
	b.Mark(node(1), Observation{At: t0.Add(time.Minute), Failed: true})
	if r := b.Match(Query{Explain: true}, t0.Add(2*time.Minute)); len(r.Candidates) != 0 ||
		r.Explanation.Rejected[0].Reason != "unreachable" {
		t.Errorf("%+v", r)
	}
	if r := b.Match(Query{Explain: true}, t0.Add(12*time.Minute)); len(r.Candidates) != 1 {
		t.Error("still hidden after 10 min")
	}
	b.Mark(node(1), Observation{At: t0, RTT: 30 * time.Millisecond})
	if r := b.Match(Query{Explain: true, Terms: terms(t, "rtt <= 20ms")},
		t0.Add(12*time.Minute)); len(r.Candidates) != 0 {
		t.Error("rtt 30 ms passes 20 ms")
	}
}

func TestMatch_Score_DoublesUnreliableRate(t *testing.T) {
	t.Parallel()
	b := filled(t, offer(1, "t4", 1, 1000, 1), offer(2, "t4", 1, 1500, 1))
	b.Mark(node(1), Observation{At: t0, Score: 100_000})
	b.Mark(node(2), Observation{At: t0, Score: 1_000_000})
	if r := b.Match(Query{Explain: true}, t0); r.Candidates[0].Provider != node(2) {
		t.Errorf("first is %v", r.Candidates[0].Provider)
	}
}

// TestMatch_EqualsNaive holds every engine of this package against the definition, and the counts of an explanation
// against their sum.
func TestMatch_EqualsNaive(t *testing.T) {
	t.Parallel()
	classes := []string{"t4", "a100", "cpu"}
	rapid.Check(t, func(rt *rapid.T) {
		b, naive := New(), map[market.NodeID]market.Offer{}
		for i := range rapid.IntRange(0, 30).Draw(rt, "offers") {
			o := offer(i, rapid.SampledFrom(classes).Draw(rt, "class"), rapid.Uint64Range(0, 5).Draw(rt, "vram"),
				market.Rate(rapid.Uint64Range(0, 9).Draw(rt, "rate")), rapid.IntRange(1, 3).Draw(rt, "n"))
			o.Groups[0].Free = rapid.Uint64Range(0, 7).Draw(rt, "free") & (1<<len(o.Groups[0].Devices) - 1)
			if _, err := b.Put(o, market.DocID{}, nil, t0); err != nil {
				rt.Fatal(err)
			}
			naive[o.Provider] = o
		}
		q := Query{Explain: true, Devices: rapid.IntRange(1, 3).Draw(rt, "devices"),
			MaxRate: market.Rate(rapid.Uint64Range(0, 9).Draw(rt, "max"))}
		lo := rapid.Uint64Range(0, 5).Draw(rt, "lo")
		q.Terms = []market.Term{{Field: market.FieldVRAM, Lo: lo}, {Classes: []string{"t4", "cpu"}}}
		want := map[market.NodeID]bool{}
		for id, o := range naive {
			g := o.Groups[0]
			v, stated := g.Fields[market.FieldVRAM]
			free := freeOf(&g)
			if stated && v >= lo && g.Class != "a100" && free >= q.Devices && g.Rates[0] > 0 &&
				(q.MaxRate == 0 || g.Rates[0] <= q.MaxRate) {
				want[id] = true
			}
		}
		r := b.Match(q, t0)
		got := map[market.NodeID]bool{}
		for i, c := range r.Candidates {
			got[c.Provider] = true
			if i > 0 && c.Rate < r.Candidates[i-1].Rate {
				rt.Fatalf("rank %d is cheaper than %d", i, i-1)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatal(d)
		}
		x := r.Explanation
		sum := x.Matched + x.TooNew
		for _, rej := range x.Rejected {
			sum += rej.Count
		}
		if sum != x.Considered || x.Considered != len(naive) {
			rt.Fatalf("counts do not add up: %+v", x)
		}
		for _, rel := range x.Relax {
			if rel.Gains < 1 {
				rt.Fatalf("relax without gain: %+v", rel)
			}
		}
	})
}

func BenchmarkMatch_50000Rows(b *testing.B) {
	bk := New()
	for i := range 50_000 {
		if _, err := bk.Put(offer(i, "rtx-4090", uint64(i%40)<<10, market.Rate(1000+i%997), 1), market.DocID{}, nil,
			t0); err != nil {
			b.Fatal(err)
		}
	}
	q := Query{Terms: []market.Term{{Field: market.FieldVRAM, Lo: 24 << 10},
		{Field: market.FieldEgress, In: []uint64{2}}}, MaxRate: 1500, Limit: 5}
	for b.Loop() {
		bk.Match(q, t0)
	}
}

// TestMatch_OrderSizes_AgainstTheWholeRig: cores and memory are stated per device, and an order states them in all.
func TestMatch_OrderSizes_AgainstTheWholeRig(t *testing.T) {
	t.Parallel()
	o := offer(1, "cpu", 0, 10_000, 2)
	o.Fields = market.Fields{market.FieldCPU: 500, market.FieldRAM: 1024}
	huge := offer(2, "cpu", 0, 10_000, 4)
	huge.Fields = market.Fields{market.FieldCPU: 1 << 63, market.FieldRAM: 1 << 63} // a lie must not wrap around
	b := filled(t, o, huge)
	want := func(cpu, ram uint64) Query {
		return Query{Explain: true, Providers: []market.NodeID{node(1)}, Terms: []market.Term{
			{Field: market.FieldRigCPU, Lo: cpu}, {Field: market.FieldRigRAM, Lo: ram},
		}}
	}
	if res := b.Match(want(1000, 2048), t0); len(res.Candidates) != 1 {
		t.Errorf("what the rig has in all does not fit: %s", res.Explanation.Text())
	}
	res := b.Match(want(2000, 2048), t0)
	if len(res.Candidates) != 0 || res.Explanation.Hint() != "--cpu 1 (1 rig)" {
		t.Errorf("%d fit, hint %q: %s", len(res.Candidates), res.Explanation.Hint(), res.Explanation.Text())
	}
	q := want(1<<40, 1<<40)
	q.Providers = []market.NodeID{node(2)}
	if res := b.Match(q, t0); len(res.Candidates) != 1 {
		t.Errorf("the huge rig: %s", res.Explanation.Text())
	}
}
