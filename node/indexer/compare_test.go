package indexer

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// told serves an index of what a chain says, after change lied about it.
func told(t *testing.T, change func(n int, l *solana.Landed) bool) (address string) {
	t.Helper()
	id := market.ChannelID{5}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Slot: 9}}}
	for n := range 300 {
		l := opening(n+1, n%2-1, id, market.Amount(n))
		l.Slot = uint64(1 + n*100)
		if change == nil || change(n, &l) {
			b.landed = append(b.landed, l)
		}
	}
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := public.New(public.Config{Index: x.index, Network: network, Since: time.Now()}, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(m)
	t.Cleanup(func() { s.Close(); m.Close() })
	return s.URL
}

// TestCompare_TheLiarIsFound: two that agree are equal; of one that forges, hides or invents an instruction the first
// row that differs is named, beside what the chain says.
func TestCompare_TheLiarIsFound(t *testing.T) {
	t.Parallel()
	truth := &book{}
	for n := range 300 {
		l := opening(n+1, n%2-1, market.ChannelID{5}, market.Amount(n))
		l.Slot = uint64(1 + n*100)
		truth.landed = append(truth.landed, l)
	}
	honest := told(t, nil)
	if c, err := Compare(t.Context(), honest, told(t, nil), OnChain(truth)); err != nil || !c.Equal || c.N != 180 ||
		c.Slot != 18000 {
		t.Errorf("two honest ones: %+v, %v", c, err)
	}
	forged := told(t, func(n int, l *solana.Landed) bool {
		if n == 60 {
			l.Calls[0].Data = escrow.OpenData{Deposit: 1_000_000}.Encode()
		}
		return true
	})
	c, err := Compare(t.Context(), honest, forged, OnChain(truth))
	if err != nil || c.Equal || c.A == nil || c.B == nil || c.A.Signature != "sig00061" || c.A.Amount != "60" ||
		c.B.Amount != "1000000" || c.Chain == nil || *c.Chain != *c.A || !c.Read {
		t.Errorf("forged: %+v, %v", c, err)
	}
	hidden := told(t, func(n int, _ *solana.Landed) bool { return n != 50 })
	if c, err = Compare(t.Context(), hidden, honest, OnChain(truth)); err != nil || c.Equal || c.A != nil ||
		c.B == nil ||
		c.B.Signature != "sig00051" || c.Chain == nil {
		t.Errorf("hidden: %+v, %v", c, err)
	}
	invented := told(t, func(n int, l *solana.Landed) bool {
		if n == 70 {
			again := l.Calls[0]
			again.Outer = 7
			l.Calls = append(slices.Clone(l.Calls), again)
		}
		return true
	})
	if c, err = Compare(t.Context(), honest, invented, OnChain(truth)); err != nil || c.Equal || c.A != nil ||
		c.B == nil ||
		c.B.Outer != 7 || c.Chain != nil || !c.Read {
		t.Errorf("invented: %+v, %v", c, err)
	}
}

// TestCompare_Errors: what is no indexer, or has no digest yet, is said so.
func TestCompare_Errors(t *testing.T) {
	t.Parallel()
	honest := told(t, nil)
	young := told(t, func(n int, _ *solana.Landed) bool { return n < 10 })
	for other, want := range map[string]market.Code{young: market.CodeNotFound,
		"http://127.0.0.1:1": market.CodePeerUnreachable, "::": market.CodeBadUsage,
		honest + "/else": market.CodeNotFound} {
		if _, err := Compare(t.Context(), honest, other, nil); market.CodeOf(err) != want {
			t.Errorf("%s: %v", fmt.Sprintf("%.20s", other), err)
		}
	}
}
