package indexer

import (
	"errors"
	"testing"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// TestFigures_LagIsWhatIsFinalAndNotRead: it is unknown before the first look, grows while transactions cannot be read,
// and is none once all up to the newest slot was.
func TestFigures_LagIsWhatIsFinalAndNotRead(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{7}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Deposit: 70, Slot: 9}}}
	b.landed = append(b.landed, opening(1, -1, id, 70))
	x := follower(t, b)
	lag := func() any {
		if l := x.Figures().Lag; l != nil {
			return *l
		}
		return nil
	}
	b.slot, b.noSlot = 1000, errors.New("away")
	if err := x.catchUp(t.Context()); err == nil || lag() != nil {
		t.Fatalf("%v, lag %v of a chain that was never seen", err, lag())
	}
	b.noSlot = nil
	if err := x.catchUp(t.Context()); err != nil || lag() != uint64(0) {
		t.Fatalf("%v, lag %v after all was read", err, lag())
	}
	f := x.Figures()
	if f.Written["transaction"] == 0 || f.Written["channel"] == 0 || f.Written["offer"] != 0 {
		t.Errorf("written: %v", f.Written)
	}
	was := f.Written["transaction"]
	b.slot = 1040
	b.landed = append(b.landed, opening(2, -1, id, 70))
	b.hidden = b.landed[1].Signature
	if err := x.catchUp(t.Context()); err == nil || lag() != uint64(40) {
		t.Errorf("%v, lag %v while a transaction is not shown", err, lag())
	}
	b.slot = 1030 // another endpoint, which is behind
	if err := x.catchUp(t.Context()); err == nil || lag() != uint64(40) {
		t.Errorf("%v, lag %v as an endpoint says that is behind", err, lag())
	}
	b.hidden, b.slot = "", 1050
	if err := x.catchUp(t.Context()); err != nil || lag() != uint64(0) || x.Figures().Written["transaction"] == was {
		t.Errorf("%v, lag %v, %v", err, lag(), x.Figures().Written)
	}
}
