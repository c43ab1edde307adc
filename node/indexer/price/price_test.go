package price_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gpuai/gpuai/node/indexer/price"
)

// crowd are n leases of as many as given payers and payees, at prices within a fifth of a million.
func crowd(r *rand.Rand, n, payers, payees int) (out []price.Trade) {
	for i := range n {
		out = append(out, price.Trade{ID: fmt.Sprint("crowd", i), Payer: fmt.Sprint("payer", r.IntN(payers)),
			Payee: fmt.Sprint("payee", r.IntN(payees)), Price: 800_000 + r.Int64N(400_001),
			Weight: 60_000 + r.Int64N(8*3_600_000)})
	}
	return out
}

// attack is as many leases as make share of all percent, each with the most that one can weigh.
func attack(honest, percent int, at int64, payer, payee func(i int) string) (out []price.Trade) {
	for i := range honest * percent / (100 - percent) {
		out = append(out, price.Trade{ID: fmt.Sprint("wash", i), Payer: payer(i), Payee: payee(i), Price: at,
			Weight: 64 * 3_600_000})
	}
	return out
}

func one(name string) func(int) string  { return func(int) string { return name } }
func many(name string) func(int) string { return func(i int) string { return fmt.Sprint(name, i) } }

// moved is by how many thousandths of it the price differs from what it is without the attack.
func moved(t *testing.T, honest, wash []price.Trade) float64 {
	t.Helper()
	was, ok := price.Of(honest)
	is, ok2 := price.Of(append(slices.Clone(honest), wash...))
	if !ok || !ok2 {
		t.Fatal("no price")
	}
	d := float64(is.Price-was.Price) / float64(was.Price)
	return max(d, -d)
}

// TestWash_OnePair: 30 of 100 trades are by one pair, at any price and of the largest weight, and the price moves by
// less than a hundredth; so it does for many keys that pay one, and for one that pays many.
func TestWash_OnePair(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		honest := crowd(r, 700, 200, 120)
		for name, wash := range map[string]func(at int64) []price.Trade{
			"one pair": func(at int64) []price.Trade { return attack(700, 30, at, one("w"), one("v")) },
			"many payers, one payee": func(at int64) []price.Trade {
				return attack(700, 30, at, many("w"), one("v"))
			},
			"one payer, many payees": func(at int64) []price.Trade {
				return attack(700, 30, at, one("w"), many("v"))
			},
		} {
			for _, at := range []int64{1, 1_150_000, 1 << 40} {
				if d := moved(t, honest, wash(at)); d >= 0.01 {
					t.Errorf("seed %d: %s at %d move it by %.2f %%", seed, name, at, 100*d)
				}
			}
		}
	}
}

// TestWash_OneLargeProvider: where one honest provider has most of the market, caps do not hand it to somebody who pays
// many addresses of his own, or has many that pay one.
func TestWash_OneLargeProvider(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		honest := crowd(rand.New(rand.NewPCG(seed, 2)), 700, 200, 120)
		for i := range honest {
			if i%5 < 3 {
				honest[i].Payee = "large"
			}
		}
		for _, at := range []int64{1, 1 << 40} {
			if d := moved(t, honest, attack(700, 30, at, one("w"), many("v"))); d >= 0.02 {
				t.Errorf("seed %d: one payer moves it by %.2f %%", seed, 100*d)
			}
			if d := moved(t, honest, attack(700, 30, at, many("w"), one("v"))); d >= 0.02 {
				t.Errorf("seed %d: one payee moves it by %.2f %%", seed, 100*d)
			}
		}
	}
}

// TestWash_ManyKeysOnBothSides: who has as many keys that pay as keys that are paid is a crowd to any cap, and moves
// the price: the caps are what holds a pair, and the page of the method says what they do not hold.
func TestWash_ManyKeysOnBothSides(t *testing.T) {
	t.Parallel()
	honest := crowd(rand.New(rand.NewPCG(1, 1)), 700, 200, 120)
	wash := attack(700, 30, 1<<40, many("w"), many("v"))
	if d := moved(t, honest, wash); d < 0.05 {
		t.Errorf("only %.2f %%", 100*d)
	}
}

// TestOf_Properties: the order of trades is nothing, and the price is one that was paid.
func TestOf_Properties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.IntRange(0, rapid.IntRange(1, 150).Draw(t, "names"))
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) price.Trade {
			return price.Trade{ID: rapid.StringN(0, 3, 9).Draw(t, "id"), Payer: fmt.Sprint("a", name.Draw(t, "payer")),
				Payee: fmt.Sprint("b", name.Draw(t, "payee")), Price: rapid.Int64Range(1, 1<<40).Draw(t, "price"),
				Weight: rapid.Int64Range(-1, 1<<40).Draw(t, "weight")}
		}), 0, 300).Draw(t, "trades")
		was := slices.Clone(list)
		got, ok := price.Of(list)
		if !slices.Equal(list, was) {
			t.Fatal("it changed what it was given")
		}
		again, _ := price.Of(rapid.Permutation(list).Draw(t, "order"))
		if again != got {
			t.Fatalf("%+v in another order: %+v", got, again)
		}
		paid := slices.ContainsFunc(list, func(l price.Trade) bool { return l.Weight > 0 && l.Price == got.Price })
		if ok != slices.ContainsFunc(list, func(l price.Trade) bool { return l.Weight > 0 }) || ok != paid {
			t.Fatalf("%v: %+v", ok, got)
		}
		if got.Pairs > got.N || got.Payers > got.Pairs || got.Payees > got.Pairs || ok && got.Payees < 1 {
			t.Fatalf("%+v", got)
		}
	})
}

// TestOf_Few: of one trade it is its price; one with itself, and one that weighs nothing, are none.
func TestOf_Few(t *testing.T) {
	t.Parallel()
	a := price.Trade{ID: "a", Payer: "w", Payee: "p", Price: 7, Weight: 1}
	self := price.Trade{ID: "s", Payer: "p", Payee: "p", Price: 9, Weight: 1 << 40}
	nothing := price.Trade{ID: "n", Payer: "x", Payee: "y", Price: 9}
	if got, ok := price.Of([]price.Trade{a, self, nothing}); !ok ||
		got != (price.Index{Price: 7, N: 1, Pairs: 1, Payers: 1, Payees: 1, Weight: 1}) {
		t.Errorf("%v %+v", ok, got)
	}
	if got, ok := price.Of([]price.Trade{self, nothing}); ok || got != (price.Index{}) {
		t.Errorf("%v %+v", ok, got)
	}
}

// TestSpan: a lease is spread over the hours that it ran in; of a long one the last day counts; absurd times weigh
// nothing and overflow nothing.
func TestSpan(t *testing.T) {
	t.Parallel()
	const hour = 3_600_000
	s := price.Span{Begin: hour / 2, End: 3 * hour, Devices: 4, Billable: 2 * hour} // it stood still for half an hour
	var sum int64
	for h := range int64(5) {
		sum += s.Within(h*hour, (h+1)*hour)
	}
	if sum != 4*2*hour || s.Within(0, hour) != 4*hour*4/10 || s.Within(3*hour, 4*hour) != 0 {
		t.Errorf("%d in all, %d in the first hour", sum, s.Within(0, hour))
	}
	long := price.Span{Begin: 0, End: 100 * hour, Devices: 1, Billable: 100 * hour}
	if long.Within(75*hour, 76*hour) != 0 || long.Within(76*hour, 77*hour) != hour {
		t.Error("more than the last day counts")
	}
	for _, s := range []price.Span{{}, {Begin: 9, End: 3, Devices: 1, Billable: 1}, {End: 1 << 62, Devices: 64,
		Billable: -1}, {Begin: -1 << 62, End: 1 << 61, Devices: 1, Billable: 1 << 45}} {
		if w := s.Within(0, hour); w < 0 || w > 64*hour {
			t.Errorf("%+v weighs %d", s, w)
		}
	}
}
