package meter

import (
	"testing"

	"pgregory.net/rapid"
)

// TestMeter_NeverBillsMoreThanPassed: whatever the order of calls, billable, paused and unobserved time together never
// exceed what has passed, no gap bills more than its allowance, and nothing shrinks.
func TestMeter_NeverBillsMoreThanPassed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var m Meter
		start := rapid.Uint64Range(1, 1_000_000).Draw(t, "boot")
		now, limit := start, rapid.Uint64Range(0, 200_000).Draw(t, "limit")
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now += rapid.Uint64Range(0, 30_000).Draw(t, "d")
			was := m
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				m = m.Open(now)
			case 1:
				m = m.Close()
			case 2:
				m = m.Proof(now, 10_000, limit)
			case 3:
				m = m.Proof(max(now, 1_000)-1_000, 10_000, limit) // late news
			}
			if m.BillableMS < was.BillableMS || m.BillableMS-was.BillableMS > 10_000 || m.BillableMS > limit {
				t.Fatalf("billable from %d to %d, limit %d", was.BillableMS, m.BillableMS, limit)
			}
			if m.BillableMS+m.PausedMS+m.UnobservedMS > now-start {
				t.Fatalf("%+v in %d ms", m, now-start)
			}
		}
	})
}

func TestMeter_Close_StopsAtLastProof(t *testing.T) {
	t.Parallel()
	m := Meter{}.Open(1000).Proof(3000, 10_000, 1<<40).Close().Proof(9000, 10_000, 1<<40)
	if m.BillableMS != 2000 {
		t.Fatalf("billed %d", m.BillableMS)
	}
	if m = m.Open(9000); m.PausedMS != 6000 || m.BillableMS != 2000 {
		t.Fatalf("%+v", m)
	}
}
