package customer

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestBook_Sound_MeasuresTheUnknownOnce: a ranking by distance pings rigs that fit and whose distance is not known, at
// most so many, and leaves who does not answer alone for a while; any other ranking pings nobody.
func TestBook_Sound_MeasuresTheUnknownOnce(t *testing.T) {
	t.Parallel()
	db := openTestStore(t, filepath.Join(t.TempDir(), "d", "state.db"))
	defer db.Close()
	b := newTestBook(t, db)
	var mu sync.Mutex
	asked := map[market.NodeID]int{}
	silent := hear(t, b, 200, 1)
	b.cfg.Sound = func(_ context.Context, id market.NodeID, _ []string) error {
		mu.Lock()
		asked[id]++
		mu.Unlock()
		if id == silent {
			return errors.New("it does not answer")
		}
		b.Near(id, time.Duration(id[0])*time.Millisecond+1)
		return nil
	}
	for i := range byte(soundMost + 5) {
		hear(t, b, i+1, market.Rate(100+int(i)))
	}
	r := Request{Key: "k", File: spec.NewFile("busybox")}
	r.File.GPU.None, r.File.Egress = true, market.EgressNone
	b.soundFor(t.Context(), &r)
	if len(asked) != 0 {
		t.Fatalf("by price, %d rigs are asked", len(asked))
	}
	r.File.Placement.Sort = market.Sort{Field: market.FieldRTT}
	for range 3 {
		b.soundFor(t.Context(), &r)
	}
	if len(asked) != soundMost+6 {
		t.Errorf("%d of %d rigs were asked", len(asked), soundMost+6)
	}
	for id, n := range asked {
		if n != 1 {
			t.Errorf("%v was asked %d times", id.Short(), n)
		}
	}
	if res, _ := b.match(&r, 1, false); len(res.Candidates) != 1 || res.Candidates[0].Provider == silent {
		t.Errorf("the nearest is %+v", res.Candidates)
	}
}
