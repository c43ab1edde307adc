package gpu

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// maxSim bounds simulated devices of one rig: an Offer lists at most 64.
const maxSim = 64

// profile is what a simulated GPU states; numbers as the real card reports them.
type profile struct {
	model  string
	vram   uint64 // MiB
	fields market.Fields
}

var profiles = map[string]profile{
	"rtx-4090": {"NVIDIA GeForce RTX 4090", 24564, market.Fields{
		market.FieldCC: 89, market.FieldMemBW: 1008, market.FieldFP32: 82_600, market.FieldPower: 450,
		market.FieldPCIeGen: 4, market.FieldPCIeWidth: 16}},
	"rtx-3060": {"NVIDIA GeForce RTX 3060", 12288, market.Fields{
		market.FieldCC: 86, market.FieldMemBW: 360, market.FieldFP32: 12_700, market.FieldPower: 170,
		market.FieldPCIeGen: 4, market.FieldPCIeWidth: 16}},
	"t4": {"Tesla T4", 15360, market.Fields{
		market.FieldCC: 75, market.FieldMemBW: 320, market.FieldFP32: 8_100, market.FieldPower: 70,
		market.FieldPCIeGen: 3, market.FieldPCIeWidth: 16}},
	"a100": {"NVIDIA A100-SXM4-80GB", 81920, market.Fields{
		market.FieldCC: 80, market.FieldMemBW: 2039, market.FieldFP32: 19_500, market.FieldPower: 400,
		market.FieldPCIeGen: 4, market.FieldPCIeWidth: 16}},
	"h100": {"NVIDIA H100 80GB HBM3", 81559, market.Fields{
		market.FieldCC: 90, market.FieldMemBW: 3350, market.FieldFP32: 66_900, market.FieldPower: 700,
		market.FieldPCIeGen: 5, market.FieldPCIeWidth: 16}},
}

// ParseSimulate reads "rtx-4090:2" into a profile name and count (default 1, at most 64). Errors: market.ErrFormat
// naming the profiles.
func ParseSimulate(s string) (name string, count int, err error) {
	name, n, has := strings.Cut(s, ":")
	count = 1
	if has {
		if count, err = strconv.Atoi(n); err != nil || count < 1 || count > maxSim {
			return "", 0, fmt.Errorf("simulate GPU %q: %w: want a count of 1 to %d", s, market.ErrFormat, maxSim)
		}
	}
	if slug := market.Slug(name); profiles[slug].model != "" { // as people write it: RTX4090, 4090
		name = slug
	} else if profiles["rtx-"+slug].model != "" {
		name = "rtx-" + slug
	}
	if _, ok := profiles[name]; !ok {
		var known []string
		for k := range profiles {
			known = append(known, k)
		}
		slices.Sort(known)
		return "", 0, fmt.Errorf("simulate GPU %q: %w: want one of %s", s, market.ErrFormat, strings.Join(known, ", "))
	}
	return name, count, nil
}

// simulated makes the devices of --simulate-gpu values. UUIDs are stable per node, so a restart finds its leases'
// devices again.
func simulated(specs []string, peerID string) ([]Device, error) {
	var out []Device
	next := map[string]int{}
	for _, s := range specs {
		name, count, err := ParseSimulate(s)
		if err != nil {
			return nil, err
		}
		if len(out)+count > maxSim {
			return nil, fmt.Errorf("simulate GPU: %w: more than %d devices", market.ErrRange, maxSim)
		}
		p := profiles[name]
		for range count {
			h := sha256.Sum256(fmt.Appendf(nil, "gpuai/sim/1\x00%s\x00%s\x00%d", peerID, name, next[name]))
			next[name]++
			f := market.Fields{market.FieldVRAM: p.vram}
			for id, v := range p.fields {
				f[id] = v
			}
			out = append(out, Device{
				Kind: KindSim, UUID: "SIM-" + hex.EncodeToString(h[:16]), Model: p.model, Class: market.Slug(p.model),
				VRAMMiB: p.vram, Minor: -1, Fields: f,
			})
		}
	}
	return out, nil
}
