package indexer

import (
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// TestFollow_NotShown_KeepsWhatCameBefore: what was read of a round before a transaction that is not shown is written,
// with its place, and is not asked for again.
func TestFollow_NotShown_KeepsWhatCameBefore(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	b := &book{hidden: "sig00003", channels: map[market.ChannelID]escrow.ChannelState{id: {Slot: 9}}}
	for n := range 4 {
		b.landed = append(b.landed, opening(n+1, -1, id, 1))
	}
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err == nil {
		t.Error("it went on")
	}
	txs, err := x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 9)
	if err != nil || len(txs) != 2 {
		t.Errorf("%v: %d instructions before the one that is not shown", err, len(txs))
	}
	if place, err := x.index.Meta(t.Context(), metaChain); err != nil || place != "sig00002" {
		t.Errorf("%v: it came to %q", err, place)
	}
	b.hidden, b.asked = "", 0
	if err := x.catchUp(t.Context()); err != nil || b.asked != 2 {
		t.Errorf("%v: %d transactions were asked for", err, b.asked)
	}
	if txs, err = x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 9); err != nil || len(txs) != 4 {
		t.Errorf("%v: %d instructions", err, len(txs))
	}
}
