package gpu

import (
	"context"
	"errors"
	"os"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/gpu/nvml"
)

// Config says where devices come from. Exe: the program that runs RunAgent, default this executable; Args: default
// {"gpu-agent"}.
// Simulate: --simulate-gpu values; not empty = only these and no NVML (localnet only, the caller checks). PeerID: the
// node's id as text. NoCPU leaves out the CPU slot.
type Config struct {
	Exe      string
	Args     []string
	Simulate []string
	PeerID   string
	NoCPU    bool
}

// Inventory lists the rig's devices: GPUs in the order of class and UUID, the CPU slot last. No driver is no fault:
// then the CPU slot is alone. On any other fault of the agent it returns the CPU slot with the error, so that the rig
// can sell that and say why no more.
func Inventory(ctx context.Context, cfg Config) ([]Device, error) {
	var devs []Device
	var err error
	if len(cfg.Simulate) > 0 {
		devs, err = simulated(cfg.Simulate, cfg.PeerID)
	} else {
		devs, err = measured(ctx, cfg)
		if errors.Is(err, ErrNoDriver) {
			err = nil
		}
	}
	devs, _ = settle(devs)
	if !cfg.NoCPU {
		devs = append(devs, CPUSlot(cfg.PeerID))
	}
	return devs, err
}

func (c Config) command() (string, []string, error) {
	exe, args := c.Exe, c.Args
	if exe == "" {
		self, err := os.Executable()
		if err != nil {
			return "", nil, err
		}
		exe = self
	}
	if len(args) == 0 {
		args = []string{"gpu-agent"}
	}
	return exe, args, nil
}

func measured(ctx context.Context, cfg Config) ([]Device, error) {
	exe, args, err := cfg.command()
	if err != nil {
		return nil, err
	}
	r, err := ask(ctx, exe, args, "inventory")
	if err != nil {
		return nil, err
	}
	if r.NoDriver {
		return nil, ErrNoDriver
	}
	out := make([]Device, 0, len(r.Devices))
	for _, d := range r.Devices {
		out = append(out, fromNVML(d))
	}
	return out, nil
}

// Sample is what a device does now; an absent value is not in Fields' sense 0 but nil.
type Sample = nvml.Sample

// Samples asks the agent for one sample per GPU; simulated devices are idle. Errors: ErrNoDriver, or the agent's fault.
func Samples(ctx context.Context, cfg Config) ([]Sample, error) {
	if len(cfg.Simulate) > 0 {
		devs, err := simulated(cfg.Simulate, cfg.PeerID)
		out := make([]Sample, len(devs))
		for i, d := range devs {
			out[i] = Sample{UUID: d.UUID, UsedMiB: new(uint64)}
		}
		return out, err
	}
	exe, args, err := cfg.command()
	if err != nil {
		return nil, err
	}
	r, err := ask(ctx, exe, args, "sample")
	if err != nil {
		return nil, err
	}
	if r.NoDriver {
		return nil, ErrNoDriver
	}
	return r.Samples, nil
}

func fromNVML(d nvml.Device) Device {
	out := Device{
		Kind: KindGPU, UUID: d.UUID, Model: cutText(d.Name, 48), Class: market.Slug(d.Name), VRAMMiB: d.VRAMMiB,
		Minor: d.Minor, PCI: d.PCI,
		Driver: d.Driver, Fields: market.Fields{}, Unhealthy: d.Unhealthy,
	}
	set := func(id market.FieldID, v *uint64) {
		if v != nil {
			out.Fields[id] = *v
		}
	}
	if d.VRAMMiB > 0 {
		out.Fields[market.FieldVRAM] = d.VRAMMiB
	}
	set(market.FieldCC, d.CC)
	set(market.FieldCUDA, d.CUDA)
	set(market.FieldPower, d.PowerW)
	set(market.FieldPCIeGen, d.PCIeGen)
	set(market.FieldPCIeWidth, d.PCIeWidth)
	set(market.FieldMemBW, d.MemBW)
	set(market.FieldECC, d.ECC)
	set(market.FieldMIG, d.MIG)
	set(market.FieldDisplay, d.Display)
	if v, err := market.ParseValue(market.FieldDriver, d.Driver); err == nil {
		out.Fields[market.FieldDriver] = v
	}
	return out
}

func cutText(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
