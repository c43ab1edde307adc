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
	at := func(s market.LeaseState) *orderRun {
		return &orderRun{row: orderRow{ID: market.OrderID{7}, Provider: market.NodeID{1}, Standing: StandingLeased,
			Lease: &market.Lease{
				State: s, HeardAt: now.Add(-42 * time.Second), Since: now.Add(-20 * time.Second),
				Terms: market.Terms{SilentEnd: 30 * time.Minute},
			}}}
	}
	for state, want := range map[market.LeaseState]string{market.Running: "peer-unreachable",
		market.Paused: "peer-unreachable", market.Silent: "provider-silent", market.Closing: "peer-unreachable"} {
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
	for _, err := range []error{nil, market.Refuse("paused", market.KindUnavailable, ""),
		&market.Error{Code: "not-found"}} {
		if got := at(market.Running).unheard(t.Context(), err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := at(market.Running).unheard(t.Context(),
		market.Refuse("internal", market.KindInternal, "")); market.CodeOf(got) != "peer-failed" {
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
		standing string
		state    market.LeaseState
		want     string
	}{
		{StandingSearching, 0, "not-ready"}, {StandingFunding, 0, "not-ready"}, {StandingFailed, 0, "not-found"},
		{StandingLeased, market.Proposed, "not-ready"},
		{StandingLeased, market.Preparing, "not-ready"}, {StandingLeased, market.Running, ""},
		{StandingLeased, market.Paused, ""}, {StandingLeased, market.Silent, ""},
		{StandingLeased, market.Closing, "job-ended"}, {StandingEnded, market.Ended, "job-ended"},
	} {
		r := &orderRun{row: orderRow{Standing: c.standing}}
		if c.state != 0 {
			r.row.Lease = &market.Lease{State: c.state}
		}
		if got := market.CodeOf(r.runs("exec")); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.standing, c.state, got, c.want)
		}
	}
}
