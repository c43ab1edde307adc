package public_test

import (
	"math"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestDeals_NoneYet: an index that knows of no lease and no Want says so with empty lists, and leaves figures out.
func TestDeals_NoneYet(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		l := read[public.Leases](t, s, "/leases?slug=rtx-4090&provider=peer001&wallet=payout1&limit=3")
		w := read[public.Wants](t, s, "/wants?slug=rtx-4090")
		c := read[public.ClearedPrices](t, s, "/gpus/rtx-4090/cleared")
		b := read[public.Depth](t, s, "/book/rtx-4090")
		m := read[public.ModelPage](t, s, "/gpus/rtx-4090")
		p := read[public.ProviderPage](t, s, "/providers/peer001")
		sum := read[public.Summary](t, s, "/summary")
		if len(l.Leases)+len(w.Wants)+len(c.Points)+len(b.Bids)+len(p.Ends)+len(sum.Leases)+len(sum.Paid) != 0 ||
			b.Spread != nil || b.Fill != nil || m.Cleared != nil || sum.Jobs.Value != 0 || sum.Jobs.Src != db.Signed {
			t.Errorf("%+v %+v %+v %+v %+v %+v %+v", l, w, c, b, m, p, sum)
		}
		for path, want := range map[string]int{"/leases/none": 404, "/leases/%00": 404, "/leases?cursor=MTU": 400,
			"/leases?slug=%00": 400, "/wants?cursor=MWE": 400, "/wants?slug=%07": 400, "/gpus/%00/cleared": 404,
			"/gpus/x/cleared?since=tomorrow": 400} {
			if w := s.get(t, path); w.Code != want {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
			}
		}
	})
}

// TestWallet_SumsAllChannels: sums are of all channels, not of a page, also where they are over 63 bits; what is gone
// is neither locked nor does it return.
func TestWallet_SumsAllChannels(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		me, other := market.Address{1}.String(), market.Address{2}.String()
		var c db.Change
		for i := range 5 {
			c.Channels = append(c.Channels, db.Channel{ID: market.ChannelID{byte(i), 9}.String(), Payer: me,
				Payee: other,
				Mint:  public.SOLMint, Decimals: 9, Deposit: math.MaxInt64, Settled: 100, Paid: 60,
				Slot: int64(40 + i)})
		}
		c.Channels = append(c.Channels, db.Channel{ID: market.ChannelID{7, 9}.String(), Payer: other, Payee: me,
			Mint: public.SOLMint, Decimals: 9, Deposit: 500, Settled: 300, Paid: 200, Slot: 9})
		s.apply(t, start, c)
		gone := db.Channel{ID: c.Channels[0].ID, Status: 255, Slot: 60}
		s.apply(t, start, db.Change{Channels: []db.Channel{gone}})
		w := read[public.Channels](t, s, "/wallets/"+me+"?limit=2")
		if len(w.Channels) != 2 || len(w.Sums) != 2 {
			t.Fatalf("%+v", w)
		}
		pays, paid := w.Sums[0], w.Sums[1]
		if pays.Side != "payer" || pays.N != 5 || pays.Open != 4 || pays.Locked.Amount != "36893488147419102988" ||
			pays.Returns.Amount != "36893488147419102828" || pays.Settled.Amount != "500" || pays.AsOf.Slot != 60 {
			t.Errorf("%+v", pays)
		}
		if paid.Side != "payee" || paid.Owed.Amount != "100" || paid.Locked.Amount != "300" ||
			paid.Returns.Amount != "" {
			t.Errorf("%+v", paid)
		}
		if none := read[public.Channels](t, s, "/wallets/"+market.Address{5}.String()); len(none.Sums) != 0 {
			t.Errorf("%+v", none)
		}
	})
}
