package customer

import (
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestRequest_TimesThatNoLeaseCanHave_AreRefusedAtOnce: such an order would open a channel, and be refused by every
// rig.
func TestRequest_TimesThatNoLeaseCanHave_AreRefusedAtOnce(t *testing.T) {
	good := Request{Key: "k", File: spec.NewFile("a")}
	good.File.Limits = spec.FileLimits{MaxTotal: 1, MaxDuration: time.Hour, Away: market.MaxAway}
	good.Image.Manifest = "sha256:0"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request){
		"away 25h":         func(r *Request) { r.File.Limits.Away = 25 * time.Hour },
		"away -1s":         func(r *Request) { r.File.Limits.Away = -time.Second },
		"start in -1s":     func(r *Request) { r.File.Limits.StartTimeout = -time.Second },
		"start in 25h":     func(r *Request) { r.File.Limits.StartTimeout = 25 * time.Hour },
		"stop grace 6m":    func(r *Request) { r.File.StopGrace = 6 * time.Minute },
		"duration 31 days": func(r *Request) { r.File.Limits.MaxDuration = 31 * 24 * time.Hour },
	} {
		r := good
		change(&r)
		if err := r.Validate(); market.CodeOf(err) != market.CodeBadUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRequest_EmptyInputs_AskForRoom: inputs without a byte are inputs, and an order that asks no room says that there
// are none.
func TestRequest_EmptyInputs_AskForRoom(t *testing.T) {
	inputs := spec.File{Inputs: []spec.Source{{}}}
	for _, tc := range []struct {
		r    Request
		want uint64
	}{{Request{}, 0}, {Request{File: inputs}, 1}, {Request{File: inputs, InputBytes: 7}, 7}} {
		if got := tc.r.promised(); got != tc.want {
			t.Errorf("%+v: %d, want %d", tc.r, got, tc.want)
		}
	}
}
