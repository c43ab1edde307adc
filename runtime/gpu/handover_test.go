package gpu

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// agentHandOver asks the test binary as its agent; show sets what the driver says from now on.
func agentHandOver(t *testing.T) (h *HandOver, show func(samples string)) {
	t.Helper()
	t.Setenv("GPU_TEST_AGENT", "samples")
	show = func(samples string) { t.Setenv("GPU_TEST_SAMPLES", samples) }
	return NewHandOver(Config{Exe: os.Args[0], Args: []string{"-test.run=^$"}}), show
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestHandOver_WhatIsLeft(t *testing.T) {
	const idle = `[{"uuid":"GPU-1","used_mib":300,"pids":[7]},{"uuid":"GPU-2","used_mib":1}]`
	for _, c := range []struct{ name, now, want string }{
		{"as before", idle, ""},
		{"what a driver keeps", `[{"uuid":"GPU-1","used_mib":364,"pids":[7]}]`, ""},
		{"another device is busy", `[{"uuid":"GPU-1","used_mib":300},{"uuid":"GPU-2","used_mib":9000,"pids":[99]}]`,
			""},
		{"process left", `[{"uuid":"GPU-1","used_mib":300,"pids":[7,4242]}]`, "process 4242 is still on GPU-1"},
		{"memory held", `[{"uuid":"GPU-1","used_mib":365}]`, "365 MiB of GPU-1 are still used, 300 MiB were before"},
		{"memory not stated", `[{"uuid":"GPU-1"}]`, ""},
		{"not seen", `[{"uuid":"GPU-2"}]`, "GPU-1 is not seen"},
		{"does not tell", `[{"uuid":"GPU-1","used_mib":300,"fault":"list processes: NVML result 15"}]`,
			"GPU-1 does not tell: list processes: NVML result 15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, show := agentHandOver(t)
			show(idle)
			if err := h.Learn(deadline(t), []string{"GPU-1"}); err != nil {
				t.Fatal(err)
			}
			show(c.now)
			why, err := h.Left(deadline(t), h.Idle([]string{"GPU-1"}))
			if err != nil || why != c.want {
				t.Errorf("got %q, %v, want %q", why, err, c.want)
			}
		})
	}
}

func TestHandOver_BrokenAgent_IsNotClear(t *testing.T) {
	t.Setenv("GPU_TEST_AGENT", "dies")
	h := NewHandOver(Config{Exe: os.Args[0], Args: []string{"-test.run=^$"}})
	if _, err := h.Left(deadline(t), []Idle{{UUID: "GPU-1"}}); err == nil {
		t.Error("a driver that dies says that the device is clear")
	}
	t.Setenv("GPU_TEST_AGENT", "none")
	if why, err := h.Left(deadline(t), []Idle{{UUID: "GPU-1"}}); err != nil || why != "GPU-1 is not seen" {
		t.Errorf("without a driver: %q, %v", why, err)
	}
}

// TestHandOver_Restart_MeasureComesFromTheLease: a node that starts while a job holds the GPU learns nothing of it;
// what the lease's row kept is the measure, and the measure never creeps up.
func TestHandOver_Restart_MeasureComesFromTheLease(t *testing.T) {
	h, show := agentHandOver(t)
	used := uint64(100)
	stored := []Idle{{UUID: "GPU-1", UsedMiB: &used}}
	show(`[{"uuid":"GPU-1","used_mib":20000}]`)
	if why, err := h.Left(deadline(t), stored); err != nil || !strings.Contains(why, "100 MiB were before") {
		t.Errorf("got %q, %v", why, err)
	}
	if why, err := h.Left(deadline(t), h.Idle([]string{"GPU-1"})); err != nil || why != "" {
		t.Errorf("memory without a measure: %q, %v", why, err)
	}
	show(`[{"uuid":"GPU-1","used_mib":160}]`)
	if why, err := h.Left(deadline(t), stored); err != nil || why != "" {
		t.Errorf("cleared: %q, %v", why, err)
	}
	if got := h.Idle([]string{"GPU-1"}); *got[0].UsedMiB != 100 {
		t.Errorf("the measure is %d MiB now", *got[0].UsedMiB)
	}
}

func TestHandOver_Simulated_IsClear(t *testing.T) {
	t.Parallel()
	cfg := Config{Simulate: []string{"rtx-4090:2"}, PeerID: "x", NoCPU: true}
	devs, err := Inventory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandOver(cfg)
	ids := []string{devs[0].UUID, devs[1].UUID}
	if err := h.Learn(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
	if why, err := h.Left(t.Context(), h.Idle(ids)); err != nil || why != "" {
		t.Errorf("got %q, %v", why, err)
	}
	if why, err := h.Left(t.Context(), []Idle{{UUID: "SIM-of-another-node"}}); err != nil || why == "" {
		t.Errorf("an unknown device is clear: %v", err)
	}
}
