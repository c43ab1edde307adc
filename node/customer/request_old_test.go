package customer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"

	"github.com/gpuai/gpuai/runtime/spec"
)

// TestOrderRow_OfOlderVersion_IsRead: rows of before the job file was stored, byte for byte as that version wrote them;
// they survive being written anew, too.
func TestOrderRow_OfOlderVersion_IsRead(t *testing.T) {
	t.Parallel()
	id := func(s string) market.NodeID {
		n, err := market.ParseNodeID(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	class := []string{"cpu"}
	gpu := market.Order{
		Kind: market.KindBatch, Devices: 2, CPUMilli: 4000, RAM: 16 << 30, Disk: 100e9, Shm: 4 << 30,
		Egress: market.EgressNone, MaxRate: 3_000_000, Budget: 20_000_000, MaxDuration: 10 * time.Hour,
		StartTimeout: 15 * time.Minute, StopGrace: 10 * time.Second,
		Constraints: market.MergeTerms([]market.Term{
			{Field: market.FieldVRAM, Lo: 22889}, {Field: market.FieldNetDown, Lo: 100},
			{Field: market.FieldCountry, In: []uint64{'D'<<8 | 'E'}, Not: true},
			{Field: market.FieldDiskRead, Lo: 1000, Soft: true}, {Classes: class, Not: true},
		}),
	}
	cpu := market.Order{
		Kind: market.KindBatch, Devices: 1, CPUMilli: 50, RAM: 32 << 20, Disk: 1 << 20, Egress: market.EgressWeb,
		MaxRate: market.MaxRate, Budget: 5, MaxDuration: time.Minute, Constraints: []market.Term{{Classes: class}},
	}
	job := spec.Spec{
		Command: []string{"sh", "-c"}, Args: []string{"echo <hi> && sleep 3"}, Workdir: "/workspace",
		Env: map[string]string{"A": "b=c", "Z": ""}, Init: "supervise", StopSignal: "INT",
		Inputs: []spec.Input{{To: "/workspace/src"}},
		Outputs: []spec.Output{{Path: "/workspace/out", To: "/home/me/out/", When: "success"},
			{Path: "/workspace/log", When: "always"}},
	}
	plain := spec.Spec{Args: []string{"sleep=1s"}, Init: "supervise", StopSignal: "TERM"}
	for name, want := range map[string]struct {
		order market.Order
		spec  spec.Spec
	}{"order-row-gpu": {gpu, job}, "order-row-cpu": {cpu, plain}} {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			o, err := readOld(raw)
			if err != nil {
				t.Fatal(err)
			}
			got := o.Request.File.Order()
			if name == "order-row-cpu" {
				got.Shm = 0 // a job that names none has a quarter of its memory, once its row is written anew
			}
			if d := cmp.Diff(want.order, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if d := cmp.Diff(want.spec, o.Request.File.Spec()); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			if o.Request.Key == "" || o.Request.Image.Manifest != "sha256:aa" || o.Stage == 0 {
				t.Errorf("%s: %+v", name, o)
			}
			if f, r := o.Request.File, o.Request; name == "order-row-gpu" && (f.Name != "train" || !r.HasInputs() ||
				r.InputBytes != 77 || !r.KeepChannel || f.Limits.Away != 15*time.Minute ||
				f.Placement.Providers[0] != id("12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp") ||
				f.Placement.Exclude[0] != id("12D3KooWHFrmLWTTDD4NodngtRMEVYgxrsDMp4F9iSwYntZ9WjHa")) {
				t.Errorf("%+v", r)
			}
			raw = store.Row(o)
		}
	}
}
