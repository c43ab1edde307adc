package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/node/tunnel"
)

// TestRefusalOf_OwnTrouble_HasNoPath: whatever goes wrong on the rig, its customer hears a code that means "elsewhere",
// and no path.
func TestRefusalOf_OwnTrouble_HasNoPath(t *testing.T) {
	t.Parallel()
	full := &fs.PathError{Op: "write", Path: "/home/me/.local/state/gpuai/state.db", Err: syscall.ENOSPC}
	for name, c := range map[string]struct {
		err          error
		code, detail string
	}{
		"disk full": {fmt.Errorf("commit lease: %w", fmt.Errorf("%w: %w", store.ErrDiskFull, full)), "unhealthy",
			"the rig's disk is full"},
		"dead": {fmt.Errorf("commit lease: %w", fmt.Errorf("%w: %w", store.ErrDead, full)), "unhealthy",
			"an error of the rig's own; its log says which"},
		"any":    {full, "unhealthy", "an error of the rig's own; its log says which"},
		"engine": {&market.Error{Code: "engine-error", Op: "x", Err: full}, "engine-error", "engine-error"},
		"said": {&market.Error{Code: "spec-refused", Detail: "no such key", Err: full}, "spec-refused",
			"spec-refused: no such key"},
		"refusal": {market.Refuse("busy", market.KindUnavailable, "later"), "busy", "later"},
		"unfinished": {&market.Error{Op: "open", Err: full}, "unhealthy",
			"an error of the rig's own; its log says which"},
	} {
		d := refusalOf(c.err)
		if d.Code != c.code || d.Detail != c.detail {
			t.Errorf("%s: %q, %q", name, d.Code, d.Detail)
		}
		if words := tunnel.Failed(c.err); strings.Contains(d.Detail+words.Error, "/home") || words.Code == "" {
			t.Errorf("%s: a path leaves the rig: %q, %+v", name, d.Detail, words)
		}
	}
	r := market.Refuse("busy", market.KindUnavailable, "later")
	r.RetryAfter = time.Second
	if d := refusalOf(errors.Join(r)); d.RetryAfter != time.Second {
		t.Errorf("got %+v", d)
	}
}

func TestIncoming_BelowTheFloor_Stalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	in := &incoming{}
	run := func(d time.Duration, rate uint64) (why string) {
		for end := now.Add(d); now.Before(end) && why == ""; now = now.Add(100 * time.Millisecond) {
			in.bytes.Add(rate / 10)
			why = in.stalled(now, 64_000)
		}
		return why
	}
	if why := run(10*time.Minute, 100_000); why != "" {
		t.Fatalf("above the floor: %s", why)
	}
	if why := run(30*time.Second, 0); why != "" {
		t.Fatalf("a short silence: %s", why)
	}
	if why := run(5*time.Minute, 1_000_000); why != "" {
		t.Fatalf("it came back: %s", why)
	}
	start := now
	if why := run(10*time.Minute, 0); why == "" || now.Sub(start) > 2*inputsWindow {
		t.Fatalf("nothing came: %q after %s", why, now.Sub(start))
	}
	in = &incoming{}
	if _, err := in.count(strings.NewReader("")).Read(make([]byte, 1)); err == nil {
		t.Fatal("not at its end")
	}
	if why := run(10*time.Minute, 0); why != "" {
		t.Errorf("all is here: %s", why)
	}
}

func TestPrepMax_ClaimsOfACustomer_HaveAnEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		image, inputs uint64
		known         bool
		want          time.Duration
	}{
		{0, 0, false, prepFloor}, {8 << 30, 0, false, 2*time.Minute + 2048*time.Second}, {1 << 40, 0, false, prepMost},
		{0, 1 << 63, false, prepMost},
		{1 << 63, 1 << 63, true, prepMostKnown}, {50 << 30, 50 << 30, true, prepMostKnown},
	} {
		if got := prepMax(c.image, c.inputs, c.known); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestFreePreparation_CountsWhatLedToNoJob within an hour, and not by the rig's fault.
func TestFreePreparation_CountsWhatLedToNoJob(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		m    market.Lease
		want time.Duration
	}{
		"under way": {market.Lease{Accepted: ago(5 * time.Minute)}, 5 * time.Minute},
		"failed": {market.Lease{Accepted: ago(20 * time.Minute), Ended: ago(17 * time.Minute),
			Fault: market.FaultCustomer}, 3 * time.Minute},
		"stalled": {market.Lease{Accepted: ago(70 * time.Minute), Ended: ago(50 * time.Minute),
			Fault: market.FaultNone}, 20 * time.Minute},
		"by the rig": {market.Lease{Accepted: ago(20 * time.Minute), Ended: ago(17 * time.Minute),
			Fault: market.FaultProvider}, 0},
		"it ran": {market.Lease{Accepted: ago(20 * time.Minute), Ready: ago(19 * time.Minute),
			Ended: ago(17 * time.Minute)}, 0},
		"long ago": {market.Lease{Accepted: ago(3 * time.Hour), Ended: ago(2 * time.Hour)}, 0},
	} {
		if got, _ := freePreparation(c.m, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
