package main

import (
	"testing"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestNoOffer_NamesDefaultSizes: a size that nobody asked for is named where it is the reason.
func TestNoOffer_NamesDefaultSizes(t *testing.T) {
	t.Parallel()
	why := []api.Rejection{{Code: "term",
		Detail: "1 fail rig_cpu >= 2 (nearest 1), also rig_ram >= 4GiB (nearest 2GiB)"}}
	for name, c := range map[string]struct {
		job  spec.File
		want string
	}{
		"both default": {spec.File{CPUMilli: spec.DefaultCPU, Memory: spec.DefaultMemory, Disk: spec.DefaultDisk},
			"; a job that names none asks for 2 cores (--cpu), 4GiB of memory (--memory)"},
		"cores given": {spec.File{CPUMilli: 3000, Memory: spec.DefaultMemory, Disk: spec.DefaultDisk},
			"; a job that names none asks for 4GiB of memory (--memory)"},
		"all given": {spec.File{CPUMilli: 3000, Memory: 1 << 40, Disk: 1 << 40}, ""},
	} {
		if got := defaultSizes(api.Plan{Request: api.OrderRequest{Job: c.job}, Rejections: why}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSpec_CPU_TakesAPartOfACore: rigs lend shares below one core.
func TestSpec_CPU_TakesAPartOfACore(t *testing.T) {
	t.Parallel()
	for text, milli := range map[string]uint32{"0.1": 100, "0.334": 334, "1": 1000, "1024": 1024_000} {
		f, faults := spec.FromFlags(spec.Flags{"image": {"a"}, "cpu": {text}})
		if len(faults) > 0 || f.CPUMilli != milli {
			t.Errorf("--cpu %s: %d milli-cores, %v", text, f.CPUMilli, faults)
		}
	}
	for _, text := range []string{"0", "0.05", "1025", "-1", "2GiB"} {
		if _, faults := spec.FromFlags(spec.Flags{"image": {"a"}, "cpu": {text}}); len(faults) == 0 {
			t.Errorf("--cpu %s is taken", text)
		}
	}
}
