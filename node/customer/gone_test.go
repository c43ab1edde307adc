package customer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
)

// TestUnheard_SaysWhoSinceWhenAndWhatNext: an error of the way to a provider names it, since when, what becomes of job
// and money; what says something itself stays.
func TestUnheard_SaysWhoSinceWhenAndWhatNext(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(s market.LeaseState) orderRow {
		return orderRow{ID: market.OrderID{7},
			Purchase: market.Purchase{Provider: market.NodeID{1}, Stage: market.StageLeased},
			Lease: &market.Lease{Common: market.Common{State: s, Since: now.Add(-20 * time.Second),
				Terms: market.Terms{SilentEnd: 30 * time.Minute}},
				Bought: market.Bought{HeardAt: now.Add(-42 * time.Second)}}}
	}
	for state, want := range map[market.LeaseState]market.Code{market.Running: market.CodePeerUnreachable,
		market.Paused: market.CodePeerUnreachable, market.Silent: market.CodeProviderSilent,
		market.Closing: market.CodePeerUnreachable} {
		err := at(state).unheard(t.Context(), errors.New("stream reset"))
		var e *market.Error
		if !errors.As(err, &e) || e.Code != want || !strings.Contains(e.Detail, market.NodeID{1}.Short()) ||
			!strings.Contains(e.Detail, "42s ago") || !strings.Contains(e.Hint, "gpuai ") || len(e.Detail) > 400 {
			t.Errorf("%s: %+v", state, err)
		}
		if live := state != market.Closing; live != (strings.Contains(err.Error(), "nothing more is paid") &&
			strings.Contains(e.Hint, "gpuai stop order_")) {
			t.Errorf("%s: %v, %s", state, err, e.Hint)
		}
	}
	for _, err := range []error{nil, market.Refuse(market.CodePaused, market.KindUnavailable, ""),
		&market.Error{Code: market.CodeNotFound}} {
		if got := at(market.Running).unheard(t.Context(), err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := at(market.Running).unheard(t.Context(),
		market.Refuse(market.CodeInternal, market.KindInternal, "")); market.CodeOf(got) != market.CodePeerFailed {
		t.Error(got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := at(market.Running).unheard(gone, context.Canceled); got != context.Canceled {
		t.Error(got)
	}
}

// TestRuns_ByState: who asks for a job that does not run hears which of the reasons it is.
func TestRuns_ByState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		standing market.Stage
		state    market.LeaseState
		want     market.Code
	}{
		{market.StageSearching, 0, market.CodeNotReady}, {market.StageFunding, 0, market.CodeNotReady},
		{market.StageOver, 0, market.CodeNotFound},
		{market.StageLeased, market.Proposed, market.CodeNotReady},
		{market.StageLeased, market.Preparing, market.CodeNotReady}, {market.StageLeased, market.Running, ""},
		{market.StageLeased, market.Paused, ""}, {market.StageLeased, market.Silent, ""},
		{market.StageLeased, market.Closing, market.CodeJobEnded},
		{market.StageOver, market.Ended, market.CodeJobEnded},
	} {
		r := orderRow{Purchase: market.Purchase{Stage: c.standing}}
		if c.state != 0 {
			r.Lease = &market.Lease{Common: market.Common{State: c.state}}
		}
		if got := market.CodeOf(r.runs("exec")); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.standing, c.state, got, c.want)
		}
	}
}
