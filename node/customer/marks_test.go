package customer

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

func endedLease(fault market.Fault, ready bool, ran, claimed time.Duration) market.Lease {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := market.Lease{Common: market.Common{Accepted: t0, Ended: t0.Add(7*time.Second + ran), Fault: fault}}
	if ready {
		l.Ready = t0.Add(7 * time.Second)
	}
	l.ClaimMS = uint64(claimed.Milliseconds())
	return l
}

// TestMark_ScoreFollowsWhatHappened: a start that failed, a job that was lost, and time in which a rig was down each
// cost a provider its place; what ends well, and the moments between two looks, do not.
func TestMark_ScoreFollowsWhatHappened(t *testing.T) {
	t.Parallel()
	var none mark
	var good, lost, unstarted, down, short mark
	for range 20 {
		good.ended(endedLease(0, true, time.Hour, time.Hour))
		short.ended(endedLease(0, true, 6*time.Second, 4*time.Second))
	}
	lost.ended(endedLease(market.FaultProvider, true, time.Hour, time.Hour))
	unstarted.ended(endedLease(market.FaultProvider, false, 0, 0))
	down.ended(endedLease(0, true, time.Hour, 31*time.Minute))
	for name, c := range map[string]struct {
		m            mark
		score        uint64
		up           uint64
		ready, start uint64
	}{
		"none": {none, 800_000, 0, 0, 0}, "good": {good, 960_000, million, 7000, 0},
		"short": {short, 960_000, million, 7000, 0}, "lost": {lost, 666_666, million, 7000, 0},
		"never started": {unstarted, 666_666, 0, 0, 1}, "half an hour down": {down, 444_443, 533_333, 7000, 0},
	} {
		up, known := c.m.uptime()
		if c.m.score() != c.score || up != c.up || known != (c.up > 0) || c.m.ReadyMS != c.ready ||
			uint64(c.m.NoStart) != c.start {
			t.Errorf("%s: score %d, uptime %d, ready %d ms, %d not started; want %+v", name, c.m.score(), up,
				c.m.ReadyMS, c.m.NoStart, c)
		}
	}
}

// TestMark_OldRow_IsRead: rows of before say how many orders ended well and badly.
func TestMark_OldRow_IsRead(t *testing.T) {
	t.Parallel()
	var m mark
	if err := json.Unmarshal([]byte(`{"Good":3,"Bad":1,"At":"2026-01-02T03:04:05Z","Last":"2026-01-01T00:00:00Z",
		"Why":"provider-silent"}`), &m); err != nil {
		t.Fatal(err)
	}
	up, known := m.uptime()
	if m.Good != 3 || m.Bad != 1 || m.score() != 777_777 || known || up != 0 || m.Why != "provider-silent" {
		t.Errorf("%+v, score %d, uptime %d", m, m.score(), up)
	}
}

// TestBook_Near_BeforeAndAfterTheOffer: a distance is known of a provider whichever came first, its Offer or the
// measurement; thousands of other nodes take no more room than there is.
func TestBook_Near_BeforeAndAfterTheOffer(t *testing.T) {
	t.Parallel()
	db := openTestStore(t, filepath.Join(t.TempDir(), "d", "state.db"))
	defer db.Close()
	b := newTestBook(t, db)
	early := hear(t, b, 1, 100)
	b.Near(early, 12*time.Millisecond)
	for i := range maxNear + 10 {
		b.Near(market.NodeID{1, byte(i), byte(i >> 8)}, time.Second)
	}
	late := hear(t, newTestBook(t, db), 2, 50) // of its key
	b.Near(late, 30*time.Millisecond)
	hear(t, b, 2, 50)
	unknown := hear(t, b, 3, 10)
	list := b.List(t.Context(), market.Sort{Field: market.FieldRTT})
	var got []market.NodeID
	for _, l := range list {
		got = append(got, l.Offer.Provider)
	}
	if len(got) != 3 || got[0] != early || got[1] != late || got[2] != unknown {
		t.Errorf("%v", got)
	}
	if rtt, known := list[1].Local[market.FieldRTT]; rtt != 30 || !known {
		t.Errorf("%d ms, %v", rtt, known)
	}
	if _, known := list[2].Local[market.FieldRTT]; known || list[2].Known {
		t.Errorf("of a rig that was never met: %+v", list[2])
	}
	if len(b.near) > maxNear {
		t.Errorf("%d distances are kept", len(b.near))
	}
}
