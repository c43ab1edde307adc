package provider

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// TestRelease_ExpiredButNotFinal_NoLease: a Release that expired a moment ago may have been used in a slot that is not
// final yet, so a final view that still shows the channel open does not make it one for leases; half a minute later it
// does.
func TestRelease_ExpiredButNotFinal_NoLease(t *testing.T) {
	clock := time.Unix(1_800_000_000, 0)
	cs := escrow.ChannelState{ID: market.ChannelID{1}, Status: escrow.StatusOpen, Deposit: 100, Slot: 1_000}
	a, rel, err := escrow.NewAccount(cs, escrow.Finalised).MakeRelease(ed25519.NewKeyFromSeed(make([]byte, 32)), clock)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]escrow.Phase{time.Second: escrow.PhaseReleasing,
		33 * time.Second: escrow.PhaseOpen} {
		head := escrow.Head{Slot: 3_032, Clock: time.Unix(rel.Expires, 0).Add(after)}
		cs.Slot = 3_000
		if got := a.Observe(cs, escrow.Finalised, finalClock(head, cs)).Phase; got != want {
			t.Errorf("%s after it expired the channel is %s, want %s", after, got, want)
		}
	}
}
