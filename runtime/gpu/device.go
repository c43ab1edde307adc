package gpu

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gpuai/gpuai/market"
)

// Kinds of a Device.
const (
	KindGPU = "gpu"
	KindCPU = "cpu"
	KindSim = "sim"
)

// Device is one leasable device. Model is the name as the driver says it; Class its slug; Fields what the Offer states
// of it. Minor is N of /dev/nvidiaN, -1 for none. Unhealthy says why nothing new may run on it, empty = healthy.
type Device struct {
	Kind      string        `json:"kind"`
	UUID      string        `json:"uuid"`
	Model     string        `json:"model"`
	Class     string        `json:"class"`
	VRAMMiB   uint64        `json:"vram_mib,omitempty"`
	Minor     int           `json:"minor"`
	PCI       string        `json:"pci,omitempty"`
	Parent    string        `json:"parent,omitempty"` // UUID of a MIG instance's GPU
	Driver    string        `json:"driver,omitempty"`
	Fields    market.Fields `json:"fields,omitempty"`
	Unhealthy string        `json:"unhealthy,omitempty"`
}

// ID is the device's public id.
func (d Device) ID() market.DeviceID { return market.DeviceIDOf(d.UUID) }

// CPUSlot is the rig's CPU slot, sold as one device. peerID is the node's id as text.
func CPUSlot(peerID string) Device {
	return Device{Kind: KindCPU, UUID: "CPU-" + peerID, Model: "CPU", Class: market.ClassCPU, Minor: -1,
		Fields: market.Fields{}}
}

// settle orders devices and drops what must not be sold: both of two devices with one UUID, and a MIG parent beside its
// instances. dropped says what and why.
func settle(devs []Device) (kept []Device, dropped []string) {
	count, parents := map[string]int{}, map[string]bool{}
	for _, d := range devs {
		count[d.UUID]++
		if d.Parent != "" {
			parents[d.Parent] = true
		}
	}
	for _, d := range devs {
		switch {
		case d.UUID == "" || count[d.UUID] > 1:
			dropped = append(dropped, fmt.Sprintf("%s %q: UUID is not unique in this rig", d.Model, d.UUID))
		case parents[d.UUID]:
			dropped = append(dropped, fmt.Sprintf("%s %s: sold as its MIG instances", d.Model, d.UUID))
		default:
			kept = append(kept, d)
		}
	}
	slices.SortFunc(kept, func(a,
		b Device) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.UUID, b.UUID))
	})
	return kept, dropped
}
