package lease

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

func TestEvents_StateChangesOnly_AtMostAThousandAndTheEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := market.Lease{Common: market.Common{ID: market.LeaseID{1}, Side: market.ProviderSide}}
	left, rows := 0, 0
	for i := range 3 * maxEvents {
		was := l.State
		l.State = []market.LeaseState{market.Running, market.Paused}[i%2]
		rows += len(Events(was, l, &left, now))
		if n := len(Events(l.State, l, &left, now)); n != 0 {
			t.Fatalf("a tick left %d rows", n)
		}
	}
	if rows != maxEvents || left != maxEvents {
		t.Errorf("%d rows, counted %d", rows, left)
	}
	was := l.State
	l.State, l.Code, l.Paid = market.Ended, market.CodeCompleted, 7
	end := Events(was, l, &left, now)
	if len(end) != 1 || end[0].Cause != "completed" || !end[0].Money || end[0].Amounts["paid"] != 7 ||
		end[0].State != "ended" || end[0].Role != "provider" {
		t.Errorf("the end: %+v", end)
	}
}
