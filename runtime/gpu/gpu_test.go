package gpu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/gpu/nvml"
)

// TestMain lets the test binary be its own agent, good or broken.
func TestMain(m *testing.M) {
	switch os.Getenv("GPU_TEST_AGENT") {
	case "":
		os.Exit(m.Run())
	case "real":
		if err := RunAgent(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
	case "one":
		cc := uint64(89)
		_ = json.NewEncoder(os.Stdout).Encode(response{V: protocol, ID: 1, Devices: []nvml.Device{
			{UUID: "GPU-1", Name: "NVIDIA GeForce RTX 4090", Driver: "570.86.10", VRAMMiB: 24564, Minor: 0, CC: &cc},
			{UUID: "GPU-2", Name: "Tesla T4", Driver: "570.86.10", VRAMMiB: 15360, Minor: 1},
			{UUID: "GPU-2", Name: "Tesla T4", Driver: "570.86.10", VRAMMiB: 15360, Minor: 2},
		}})
	case "none":
		_ = json.NewEncoder(os.Stdout).Encode(response{V: protocol, ID: 1, NoDriver: true})
	case "samples":
		var r response
		if err := json.Unmarshal([]byte(os.Getenv("GPU_TEST_SAMPLES")), &r.Samples); err != nil {
			os.Exit(1)
		}
		r.V, r.ID = protocol, 1
		_ = json.NewEncoder(os.Stdout).Encode(r)
	case "dies":
		os.Exit(127) // what a missing symbol does
	case "garbage":
		fmt.Println("symbol lookup error")
	}
}

func inventory(t *testing.T, mode string) ([]Device, error) {
	t.Helper()
	t.Setenv("GPU_TEST_AGENT", mode)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return Inventory(ctx, Config{Exe: os.Args[0], Args: []string{"-test.run=^$"}, PeerID: "12D3KooWtest"})
}

func TestInventory_NoDriver_SellsCPUSlotOnly(t *testing.T) {
	devs, err := inventory(t, "none")
	if err != nil {
		t.Fatal(err)
	}
	want := []Device{{Kind: KindCPU, UUID: "CPU-12D3KooWtest", Model: "CPU", Class: "cpu", Minor: -1,
		Fields: market.Fields{}}}
	if d := cmp.Diff(want, devs); d != "" {
		t.Error(d)
	}
}

func TestInventory_RealAgent_AnswersOnAnyMachine(t *testing.T) {
	devs, err := inventory(t, "real")
	if err != nil {
		t.Fatal(err)
	}
	if last := devs[len(devs)-1]; last.Kind != KindCPU {
		t.Errorf("last device is %+v", last)
	}
	for _, d := range devs[:len(devs)-1] {
		if !strings.HasPrefix(d.UUID, "GPU-") || d.VRAMMiB == 0 || d.Fields[market.FieldCC] == 0 {
			t.Errorf("device %+v", d)
		}
	}
}

func TestInventory_DuplicateUUID_RefusesBoth(t *testing.T) {
	devs, err := inventory(t, "one")
	if err != nil {
		t.Fatal(err)
	}
	if len(devs) != 2 || devs[0].UUID != "GPU-1" || devs[0].Class != "rtx-4090" ||
		devs[0].Fields[market.FieldDriver] != 570086010 {
		t.Errorf("devices %+v", devs)
	}
	if _, stated := devs[0].Fields[market.FieldPower]; stated {
		t.Error("power was not stated and must be absent")
	}
}

func TestInventory_BrokenAgent_KeepsCPUSlotAndSaysWhy(t *testing.T) {
	for _, mode := range []string{"dies", "garbage"} {
		devs, err := inventory(t, mode)
		if err == nil || errors.Is(err, ErrNoDriver) {
			t.Errorf("%s: error %v", mode, err)
		}
		if len(devs) != 1 || devs[0].Kind != KindCPU {
			t.Errorf("%s: devices %+v", mode, devs)
		}
	}
}

func TestInventory_Simulated_IsStablePerNode(t *testing.T) {
	t.Parallel()
	cfg := Config{Simulate: []string{"rtx-4090:2", "t4"}, PeerID: "a", NoCPU: true}
	one, err := Inventory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Inventory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(one, two); d != "" {
		t.Error(d)
	}
	if len(one) != 3 || one[0].Class != "rtx-4090" || one[2].Class != "t4" || one[0].UUID == one[1].UUID {
		t.Errorf("devices %+v", one)
	}
	for _, d := range one {
		if !strings.HasPrefix(d.UUID, "SIM-") || d.Kind != KindSim || d.Minor != -1 {
			t.Errorf("device %+v", d)
		}
	}
	cfg.PeerID = "b"
	other, err := Inventory(t.Context(), cfg)
	if err != nil || other[0].UUID == one[0].UUID {
		t.Errorf("another node has the same device: %v", err)
	}
}

func TestParseSimulate_Faults(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "rtx-9999", "t4:0", "t4:65", "t4:x", "t4:-1"} {
		if _, _, err := ParseSimulate(s); !errors.Is(err, market.ErrFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestProfiles_KeyIsTheSlugOfTheModel(t *testing.T) {
	t.Parallel()
	for key, p := range profiles {
		if market.Slug(p.model) != key {
			t.Errorf("%s is of class %s", key, market.Slug(p.model))
		}
	}
}

func TestSettle_MIGParent_IsNotSoldBesideInstances(t *testing.T) {
	t.Parallel()
	kept, dropped := settle([]Device{{UUID: "GPU-1"}, {UUID: "MIG-1", Parent: "GPU-1", Kind: "mig"}})
	if len(kept) != 1 || kept[0].UUID != "MIG-1" || len(dropped) != 1 {
		t.Errorf("kept %+v, dropped %v", kept, dropped)
	}
}

func TestRunAgent_UnknownOp_AnswersWithError(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := RunAgent(strings.NewReader(`{"v":1,"id":7,"op":"reset"}`+"\n"+`{"v":9,"id":8,"op":"inventory"}`+"\n"),
		&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `unknown op`) || !strings.Contains(lines[1], "protocol 9") {
		t.Errorf("answers %q", lines)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":1,"devices":[{"uuid":"GPU-1","name":"x","minor":0}]}`))
	f.Fuzz(func(_ *testing.T, line []byte) {
		r, err := decode(line, 1)
		if err != nil {
			return
		}
		for _, d := range r.Devices {
			_ = fromNVML(d)
		}
	})
}
