package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
)

// TestReadJob_LargeFile: the command line takes job files up to the size that the reference names, and refuses larger
// ones by the code of job files, with the file's name.
func TestReadJob_LargeFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "job.yaml")
	for _, c := range []struct {
		kib  int
		want market.Code
	}{{200, ""}, {300, market.CodeSpecSize}} {
		line := "# " + strings.Repeat("x", 1021) + "\n"
		if err := os.WriteFile(file, []byte(strings.Repeat(line, c.kib)+"image: x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readJob(map[string][]string{}, []string{file}, -1)
		if got := market.CodeOf(err); got != c.want || err != nil && !strings.Contains(err.Error(), file) {
			t.Errorf("%d KiB: %v, not %q", c.kib, err, c.want)
		}
	}
}

// TestHabits_JobFile: who gives a job file by a flag is told that it is a word; a code that is nearly right is named,
// and a command without its words says which it takes.
func TestHabits_JobFile(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"run -f job.yaml": "fix: gpuai run job.yaml", "run --file job.yaml": "fix: gpuai run job.yaml",
		"help capreached": "did you mean cap-reached?", "help provder": "did you mean provider?",
		"config set": "takes KEY=VALUE", "provider price": "takes a rate",
	} {
		if _, _, errOut := newBed(t).run("", strings.Fields(typed)...); !strings.Contains(errOut, want) {
			t.Errorf("gpuai %s: %q lacks %q", typed, errOut, want)
		}
	}
}

// TestDropped_Fetched: outputs that were fetched before the node freed its copy are not called lost.
func TestDropped_Fetched(t *testing.T) {
	t.Parallel()
	at := rest.Time{Time: time.Now().Add(-time.Minute)}
	for _, c := range []struct {
		fetched *rest.Time
		want    string
	}{{&at, "they were fetched"}, {nil, "to keep the data folder small"}} {
		o := api.Order{ID: "order_1", Name: "train"}
		o.OutputsDroppedAt, o.OutputsFetchedAt = &at, c.fetched
		err := dropped(o)
		if market.CodeOf(err) != market.CodeOutputsDropped || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v lacks %q", err, c.want)
		}
	}
}

// TestRateText: an order that no rig has quoted for has no rate.
func TestRateText(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]api.Order{
		"-":          {OrderMoney: api.OrderMoney{Rate: api.RateSOL(0)}},
		"1 SOL/hour": {OrderMoney: api.OrderMoney{Rate: api.RateSOL(1e9)}},
		"0 SOL/hour": {LeaseID: "lease_1", OrderMoney: api.OrderMoney{Rate: api.RateSOL(0)}},
	} {
		if got := rateText(o); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
