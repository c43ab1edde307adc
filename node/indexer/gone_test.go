package indexer

import (
	"fmt"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// calling is a transaction with one instruction, behind the check of a signed message.
func calling(n int, tag byte, message []byte, data []byte, id market.ChannelID) solana.Landed {
	form := escrow.Calls[tag]
	c := solana.Call{Outer: 1, Inner: -1, Data: append([]byte{tag}, data...), Signed: message}
	for _, a := range form.Accounts {
		at := market.Address{9}
		switch a.Name {
		case "channel":
			at = market.Address(id)
		case "payer", "authority":
			at = market.Address{1}
		case "payee":
			at = market.Address{2}
		}
		c.Accounts = append(c.Accounts, at)
	}
	return solana.Landed{Signature: fmt.Sprintf("sig%05d", n), Slot: uint64(n), At: time.Unix(int64(n), 0),
		Calls: []solana.Call{c}}
}

// TestFollow_GoneChannel_IsKnownByItsInstructions: an index that is built after a channel was closed knows who paid
// whom and how much, as one that watched does; what failed settles nothing.
func TestFollow_GoneChannel_IsKnownByItsInstructions(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	open := escrow.OpenData{Deposit: 1000, CloseDelay: 3600, VoucherKey: [32]byte{7}, OpenSlot: 3}.Encode()[1:]
	voucher := func(v market.Amount) []byte {
		m := escrow.Voucher{Channel: id, Amount: v}.Encode()
		return m[:]
	}
	release := escrow.Release{Channel: id, Final: 640, Expires: 99}.Encode()
	failed := calling(4, escrow.TagClaim, voucher(999), nil, id)
	failed.Failed = true
	all := []solana.Landed{calling(1, escrow.TagOpen, nil, open, id), calling(2, escrow.TagTopUp, nil,
		escrow.TopUpData{Total: 1500}.Encode()[1:], id), calling(3, escrow.TagClaim, voucher(400), nil, id), failed,
		calling(5, escrow.TagRecord, voucher(600), nil, id), calling(6, escrow.TagRelease, release[:], nil, id),
		calling(7, escrow.TagPayPayee, nil, nil, id), calling(8, escrow.TagReclaim, nil, nil, id)}
	b := &book{landed: all}
	late := follower(t, b)
	if err := late.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	watched := &book{}
	early := follower(t, watched)
	for i := range all {
		watched.landed = all[:i+1]
		state := escrow.ChannelState{Deposit: 1500, Payer: market.Address{1}, Payee: market.Address{2},
			VoucherKey: [32]byte{7}, CloseDelay: time.Hour, OpenedAt: 1, OpenSlot: 3, Slot: uint64(100 + i)}
		watched.channels = map[market.ChannelID]escrow.ChannelState{id: state}
		if i >= 6 { // it was not looked at in between
			watched.channels = nil
		}
		if err := early.catchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]*Indexer{"built late": late, "watched": early} {
		c, err := x.index.Channel(t.Context(), id.String())
		if err != nil || c.Status != int64(escrow.StatusGone) || c.Payer != (market.Address{1}).String() ||
			c.Payee != (market.Address{2}).String() || c.VoucherKey != (market.Address{7}).String() ||
			c.Deposit != 1500 ||
			c.CloseDelay != 3600 || c.OpenedAt != 1 || c.Mint != db.SOLMint {
			t.Errorf("%s: %v %+v", name, err, c)
		}
		txs, err := x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 20)
		if err != nil || len(txs) != 8 || txs[2].Amount != 400 || txs[5].Amount != 640 || x.refused != 0 {
			t.Errorf("%s: %v %d refused, %+v", name, err, x.refused, txs)
		}
	}
	if c, err := late.index.Channel(t.Context(), id.String()); err != nil || c.Settled != 640 || c.Paid != 640 ||
		c.Refunded != 860 {
		t.Errorf("%v %+v", err, c)
	}
}
