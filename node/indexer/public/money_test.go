package public_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestMoney: channels, wallets and sums as the chain has them, in pages.
func TestMoney(t *testing.T) {
	t.Parallel()
	payer, payee := market.Address{1}.String(), market.Address{2}.String()
	both(t, func(t *testing.T, s site) {
		c := db.Change{}
		for n := range 5 {
			id := market.Address{9, byte(n)}.String()
			c.Channels = append(c.Channels, db.Channel{ID: id, Status: int64(n % 2), Payer: payer, Payee: payee,
				Mint: public.SOLMint, Decimals: 9, Deposit: math.MaxInt64, Paid: 1, Lamports: math.MaxInt64,
				Slot: int64(n + 1)})
			for i := range 3 {
				c.Txs = append(c.Txs, db.Tx{Sig: fmt.Sprintf("s%d%d", n, i), Inner: int64(i - 1), Slot: int64(n), At: 5,
					Result: db.TxOK, Name: "open", Channel: id, Authority: payer, Amount: 7})
			}
		}
		s.apply(t, start, c)
		id := c.Channels[1].ID
		page := read[public.ChannelPage](t, s, "/channels/"+id+"?limit=2")
		if page.Status != "closing" || page.Deposit.Amount != "9223372036854775807" || page.Storage.Amount != "1" ||
			page.AsOf.Slot != 2 || len(page.Instructions) != 2 || page.Instructions[0].Deposit.Amount != "7" {
			t.Errorf("%+v", page)
		}
		rest := read[public.ChannelPage](t, s, "/channels/"+id+"?limit=2&cursor="+page.Cursor)
		if len(rest.Instructions) != 1 || rest.Cursor != "" || rest.Instructions[0].Inner != 1 {
			t.Errorf("%+v", rest)
		}
		for _, who := range []string{payer, payee} {
			w := read[public.Channels](t, s, "/wallets/"+who+"?limit=3")
			more := read[public.Channels](t, s, "/wallets/"+who+"?limit=3&cursor="+w.Cursor)
			if len(w.Channels) != 3 || len(more.Channels) != 2 || more.Cursor != "" {
				t.Errorf("%d and %d channels", len(w.Channels), len(more.Channels))
			}
		}
		if w := read[public.Channels](t, s, "/wallets/"+market.Address{3}.String()); len(w.Channels) != 0 {
			t.Errorf("of a stranger: %+v", w)
		}
		e := read[public.Escrow](t, s, "/escrow")
		if len(e.Locked) != 1 || e.Locked[0].Value.Amount != "46116860184273879030" || e.Locked[0].N != 5 ||
			e.Locked[0].AsOf.Slot != 5 || len(e.Channels) != 2 || e.Channels[0].Channels.Value != 3 ||
			len(e.Hash) != 64 {
			t.Errorf("%+v", e)
		}
		s.apply(t, start, db.Change{Digests: []db.Digest{{Slot: db.CheckpointEvery, What: db.WhatTxs, N: 4,
			Hash: "h"}}})
		for _, q := range []string{"", "?slot=18000", "?slot=99999"} {
			if d := read[public.Digest](t, s, "/digest"+q); len(d.Parts) != 1 || d.N != 4 ||
				d.AsOf.Slot != db.CheckpointEvery {
				t.Errorf("%+v", d)
			}
		}
		for path, want := range map[string]int{"/digest?slot=17999": 404, "/digest?slot=0": 400, "/channels/x": 404,
			"/channels/" + payer: 404, "/wallets/x": 400,
			"/channels/" + id + "?cursor=MTEgYSBiIGM": 400, "/wallets/" + payer + "?cursor=%00": 400} {
			if w := s.get(t, path); w.Code != want {
				t.Errorf("%s: %d, want %d: %s", path, w.Code, want, w.Body)
			}
		}
	})
}
