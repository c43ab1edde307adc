package public_test

import (
	"math"
	"testing"
	"time"

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

// TestLeases_Unbacked: a lease that no channel stands for is listed, says nothing of its money, and counts nowhere
// else: not on the first page, not among a provider's ends, in no figure.
func TestLeases_Unbacked(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		filled(t, s)
		end := start.UnixMilli()
		s.apply(t, start, db.Change{Leases: []db.Lease{{ID: "lease_1", Accepted: end - 9000, Ready: end - 8000,
			Ended:      end,
			BillableMS: 8000, Amount: 1 << 60, Code: "completed", Fault: 1, ByProvider: []byte("p"),
			ByCustomer: []byte("c"),
			Deal: db.Deal{Class: "rtx-4090", Mint: public.SOLMint, Devices: 1, Rate: 1, Provider: "peer001",
				Customer: "x",
				Channel:  "y", Payer: "a", Payee: "b"}}}})
		l := read[public.Leases](t, s, "/leases?provider=peer001")
		if len(l.Leases) != 1 || l.Leases[0].Settled != nil || l.Leases[0].Fault != "none" ||
			l.Leases[0].Billable != 8 {
			t.Errorf("%+v", l)
		}
		sum := read[public.Summary](t, s, "/summary")
		p := read[public.ProviderPage](t, s, "/providers/peer001")
		paid := read[public.Leases](t, s, "/leases?settled=true")
		c := read[public.ClearedPrices](t, s, "/gpus/rtx-4090/cleared")
		if len(sum.Leases)+len(p.Ends)+len(paid.Leases)+len(sum.Paid)+len(c.Points) != 0 || sum.Jobs.Value != 0 {
			t.Errorf("%+v %+v %+v %+v", sum, p, paid, c)
		}
		if f := read[public.Found](t, s, "/search?q=lease_"); len(f.Found) != 1 ||
			f.Found[0].Path != "/leases/lease_1" {
			t.Errorf("%+v", f)
		}
	})
}

// TestModel_OnlyWanted: a model that nobody sells has a page and a book while somebody wants it.
func TestModel_OnlyWanted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, s site) {
		at := start.UnixMilli()
		s.apply(t, start, db.Change{Wants: []db.Want{{Customer: "c", Seq: at, Classes: []string{"b200"}, Devices: 3,
			Mint: public.SOLMint, Rate: 50, Began: at, Until: at + 60_000}}})
		m := read[public.ModelPage](t, s, "/gpus/b200")
		b := read[public.Depth](t, s, "/book/b200")
		w := read[public.Wants](t, s, "/wants?slug=b200")
		if m.Wanted.Value != 3 || m.Slug != "b200" || m.Rigs.Value != 0 || m.Utilisation != nil || len(b.Bids) != 1 ||
			b.Bids[0].Rate.Amount != "50" || b.Spread != nil || len(w.Wants) != 1 || w.Wants[0].Devices != 3 {
			t.Errorf("%+v %+v %+v", m, b, w)
		}
		s.apply(t, start.Add(2*time.Minute), db.Change{})
		if w := s.get(t, "/gpus/b200"); w.Code != 404 {
			t.Errorf("%d", w.Code)
		}
	})
}
