package book

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/market"
)

// naive is what Match is by definition: every offer, one by one.
func naive(b *Book, q Query, now time.Time) (out []string) {
	q = q.complete()
	s := b.scan(q, now)
	slices.SortFunc(s.found, func(a, b ranked) int {
		return cmp.Or(slices.Compare(a.key[:], b.key[:]), bytes.Compare(a.e.offer.Provider[:], b.e.offer.Provider[:]))
	})
	for i := range s.found[:min(len(s.found), q.Limit)] {
		out = append(out, named(s.found[i].candidate()))
	}
	return out
}

func named(c Candidate) string {
	return fmt.Sprintf("%x group %d rate %d free %d soft %d seq %d", c.Provider[:4], c.Group, c.Rate, c.Devices,
		c.SoftMiss, c.Offer.Seq)
}

// fieldsOfTests are one field of each kind: measured, of the rig, bits, derived, local.
var fieldsOfTests = []market.FieldID{market.FieldVRAM, market.FieldCC, market.FieldProof, market.FieldCPU,
	market.FieldRAM, market.FieldEgress, market.FieldRegion, market.FieldRigCPU, market.FieldRigRAM, market.FieldRate,
	market.FieldFree, market.FieldKnown, market.FieldScore, market.FieldRTT, market.FieldReady, market.FieldUptime, 239}

// number is small, so that offers are often equal, or huge. Each test makes its own: a generator of this library, asked
// by two at once, writes its name twice.
func number() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Uint64Range(0, 6), rapid.Uint64Range(0, 70_000),
		rapid.SampledFrom([]uint64{1 << 40, maxValue, maxValue + 1, 1 << 63, 1<<64 - 1}))
}

var classesOfTests = []string{"a100", "cpu", "t4"}

func drawFields(t *rapid.T, name string) market.Fields {
	return rapid.MapOfN(rapid.SampledFrom([]market.FieldID{market.FieldVRAM, market.FieldCC, market.FieldProof,
		market.FieldCPU, market.FieldRAM, market.FieldEgress, market.FieldRegion, market.FieldRigCPU,
		market.FieldKnown, 239}), number(), 0, 5).Draw(t, name)
}

func drawOffer(t *rapid.T, provider int, seq uint64) market.Offer {
	o := market.Offer{Provider: node(provider), Seq: seq, Fields: drawFields(t, "rig"),
		Lifetime: time.Duration(rapid.IntRange(1, 120).Draw(t, "minutes")) * time.Minute,
		Mints: rapid.SliceOfNDistinct(rapid.SampledFrom([]market.Address{{}, {1}, {2}}), 0, 3, rapid.ID).Draw(t,
			"mints")}
	if rapid.IntRange(0, 9).Draw(t, "new") == 0 {
		o.Critical = []market.FieldID{rapid.SampledFrom([]market.FieldID{market.FieldVRAM, 230}).Draw(t, "critical")}
	}
	for range rapid.IntRange(0, 3).Draw(t, "groups") {
		n := rapid.IntRange(1, 4).Draw(t, "devices")
		g := market.DeviceGroup{Class: rapid.SampledFrom(classesOfTests).Draw(t, "class"),
			Devices: make([]market.DeviceID, n), Free: rapid.Uint64Range(0, 15).Draw(t, "free"),
			Fields: drawFields(t, "fields")}
		for range rapid.IntRange(0, len(o.Mints)).Draw(t, "rates") {
			g.Rates = append(g.Rates, market.Rate(rapid.SampledFrom([]uint64{0, 1, 2, 9_999, 10_001, 10_002, 10_011,
				123_456, 1 << 40}).Draw(t, "rate")))
		}
		o.Groups = append(o.Groups, g)
	}
	return o
}

func drawTerm(t *rapid.T) market.Term {
	if rapid.IntRange(0, 5).Draw(t, "kind") == 0 {
		return market.Term{Classes: rapid.SliceOfN(rapid.SampledFrom(classesOfTests), 1, 2).Draw(t, "classes"),
			Not: rapid.Bool().Draw(t, "not"), Soft: rapid.Bool().Draw(t, "soft")}
	}
	term := market.Term{Field: rapid.SampledFrom(fieldsOfTests).Draw(t, "field"), Lo: number().Draw(t, "lo"),
		Not: rapid.Bool().Draw(t, "not"), Soft: rapid.Bool().Draw(t, "soft")}
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 0:
		term.Hi, term.HasHi = max(term.Lo, number().Draw(t, "hi")), true
	case 1:
		term.Lo, term.In = 0, rapid.SliceOfN(number(), 1, 3).Draw(t, "in")
	}
	return term
}

func drawQuery(t *rapid.T) Query {
	q := Query{Devices: rapid.IntRange(0, 4).Draw(t, "n"), Rented: rapid.Bool().Draw(t, "rented"),
		Limit:   rapid.IntRange(0, 6).Draw(t, "limit"),
		Mint:    rapid.SampledFrom([]market.Address{{}, {}, {1}, {3}}).Draw(t, "mint"),
		MaxRate: market.Rate(rapid.SampledFrom([]uint64{0, 0, 1, 10_001, 1 << 41}).Draw(t, "max")),
		Terms:   rapid.SliceOfN(rapid.Custom(drawTerm), 0, 4).Draw(t, "terms")}
	if rapid.Bool().Draw(t, "classed") {
		q.Classes = rapid.SliceOfN(rapid.SampledFrom(classesOfTests), 0, 2).Draw(t, "of")
	}
	if rapid.Bool().Draw(t, "sorted") {
		q.Sort = market.Sort{Field: rapid.SampledFrom(fieldsOfTests).Draw(t, "by"), Each: rapid.Bool().Draw(t, "each")}
	}
	for range rapid.IntRange(0, 2).Draw(t, "excluded") {
		q.Exclude = append(q.Exclude, node(rapid.IntRange(0, 40).Draw(t, "who")))
	}
	q.Order[3] = rapid.Byte().Draw(t, "order")
	return q
}

// TestMatch_AfterAnything_EqualsNaive: whatever was put, replaced, withdrawn, marked, removed and expired, and whatever
// is asked, the index finds what a look at every offer finds, in the same order.
func TestMatch_AfterAnything_EqualsNaive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, now, seq := New(), t0, uint64(t0.UnixMilli())
		b.enough = rapid.SampledFrom([]int{0, 1, 3, enoughRows}).Draw(t, "enough")
		b.often = rapid.SampledFrom([]int{1, 2, boundEvery}).Draw(t, "often")
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 12).Draw(t, "offers") {
					seq = max(seq+1, uint64(now.UnixMilli()))
					o := drawOffer(t, rapid.IntRange(0, 40).Draw(t, "provider"), seq)
					if _, err := b.Put(o, market.DocID{}, nil, now); err != nil {
						t.Fatal(err)
					}
				}
			},
			"renew": func(t *rapid.T) { // as it is, but for what is free
				o, id, raw, ok := b.Get(node(rapid.IntRange(0, 40).Draw(t, "provider")))
				if !ok {
					t.Skip("there is none")
				}
				o.Groups = slices.Clone(o.Groups)
				o.Groups[0].Free = rapid.Uint64Range(0, 15).Draw(t, "free")
				seq = max(seq+1, uint64(now.UnixMilli()))
				o.Seq = seq
				if _, err := b.Put(o, id, raw, now); err != nil {
					t.Fatal(err)
				}
			},
			"mark": func(t *rapid.T) {
				b.Mark(node(rapid.IntRange(0, 40).Draw(t, "provider")), Observation{At: now,
					Failed: rapid.Bool().Draw(t, "failed"), Well: rapid.Bool().Draw(t, "well"),
					RTT:    time.Duration(rapid.IntRange(0, 200).Draw(t, "rtt")) * time.Millisecond,
					Ready:  time.Duration(rapid.IntRange(0, 3).Draw(t, "ready")) * time.Second,
					Score:  rapid.SampledFrom([]uint64{0, 400_000, 900_000, 1_000_000}).Draw(t, "score"),
					Uptime: number().Draw(t, "uptime")})
			},
			"remove": func(t *rapid.T) { b.Remove(node(rapid.IntRange(0, 40).Draw(t, "provider"))) },
			"later": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "s")) * time.Second)
			},
			"expire": func(*rapid.T) { b.Expire(now) },
			"": func(t *rapid.T) {
				for range 3 {
					q := drawQuery(t)
					var got []string
					for _, c := range b.Match(q, now).Candidates {
						got = append(got, named(c))
					}
					if want := naive(b, q, now); !slices.Equal(got, want) {
						t.Fatalf("%+v:\n got %q\nwant %q", q, got, want)
					}
				}
				rows := 0
				for _, e := range b.entries {
					rows += len(e.at)
				}
				live := 0
				for _, byClass := range b.index.parts {
					for _, p := range byClass {
						for _, c := range p.chunks {
							live += count(c.live)
						}
					}
				}
				if live != rows {
					t.Fatalf("%d rows, %d live", rows, live)
				}
			},
		})
	})
}
