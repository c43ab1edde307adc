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
		err    error
		code   market.Code
		detail string
	}{
		"disk full": {fmt.Errorf("commit lease: %w", fmt.Errorf("%w: %w", store.ErrDiskFull, full)),
			market.CodeUnhealthy,
			"the rig's disk is full"},
		"dead": {fmt.Errorf("commit lease: %w", fmt.Errorf("%w: %w", store.ErrDead, full)), market.CodeUnhealthy,
			"an error of the rig's own; its log says which"},
		"any": {full, market.CodeUnhealthy, "an error of the rig's own; its log says which"},
		"engine": {&market.Error{Code: market.CodeEngineError, Op: "x", Err: full}, market.CodeEngineError,
			"engine-error"},
		"said": {&market.Error{Code: market.CodeSpecRefused, Detail: "no such key", Err: full}, market.CodeSpecRefused,
			"spec-refused: no such key"},
		"refusal": {market.Refuse(market.CodeBusy, market.KindUnavailable, "later"), market.CodeBusy, "later"},
		"unfinished": {&market.Error{Op: "open", Err: full}, market.CodeUnhealthy,
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
	r := market.Refuse(market.CodeBusy, market.KindUnavailable, "later")
	r.RetryAfter = time.Second
	if d := refusalOf(errors.Join(r)); d.RetryAfter != time.Second {
		t.Errorf("got %+v", d)
	}
}

func TestIncoming_BelowTheFloor_Stalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	in := &inputs{}
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
	in = &inputs{}
	if _, err := in.count(strings.NewReader("")).Read(make([]byte, 1)); err == nil {
		t.Fatal("not at its end")
	}
	if why := run(10*time.Minute, 0); why != "" {
		t.Errorf("all is here: %s", why)
	}
}
