package market

import "strings"

// Limits of capability texts from peers and users.
const (
	MaxTerms      = 64 // a query's constraints
	MaxTermValues = 16 // values of one `in`
	maxClass      = 32 // bytes of a class slug
)

// ClassCPU is the class of a rig's CPU slot.
const ClassCPU = "cpu"

// noiseWords say nothing about the model: vendor, edition and what is a field of its own (form factor: pcie_gen,
// mem_bw).
var noiseWords = map[string]bool{
	"nvidia": true, "geforce": true, "tesla": true, "quadro": true, "amd": true, "gpu": true, "graphics": true,
	"device":     true,
	"generation": true, "edition": true, "with": true, "pcie": true, "sxm": true, "sxm2": true, "sxm3": true,
	"sxm4": true, "sxm5": true,
	"hbm2": true, "hbm2e": true, "hbm3": true, "hbm3e": true, "tm": true, "r": true,
}

// classAlias maps slugs of odd names, and what users type, to the class.
var classAlias = map[string]string{
	"rtx-pro-6000-blackwell-workstation":       "rtx-pro-6000-ws",
	"rtx-pro-6000-blackwell-max-q-workstation": "rtx-pro-6000-max-q",
	"rtx-pro-6000-blackwell-server":            "rtx-pro-6000-server",
	"rtx4090":                                  "rtx-4090",
	"rtx3090":                                  "rtx-3090",
	"rtx5090":                                  "rtx-5090",
	"4090":                                     "rtx-4090",
	"3090":                                     "rtx-3090",
	"5090":                                     "rtx-5090",
}

// Slug returns the class of a device from its NVML name, or of what a user typed: "NVIDIA GeForce RTX 4090" is
// "rtx-4090". Unknown models just work; memory sizes and form factors are dropped, because they are fields. At most 32
// bytes of [a-z0-9-]; never empty ("gpu").
func Slug(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return (r < 'a' || r > 'z') &&
			(r < '0' || r > '9')
	})
	kept, mig := words[:0:0], false
	for _, w := range words {
		mig = mig || w == "mig" // a slice is named by its size, "1g.5gb": keep all of it
		if !mig && (noiseWords[w] || isMemorySize(w)) {
			continue
		}
		kept = append(kept, w)
	}
	s := strings.Join(kept, "-")
	if a, ok := classAlias[s]; ok {
		return a
	}
	if len(s) > maxClass {
		s = s[:maxClass]
	}
	if s = strings.Trim(s, "-"); s == "" {
		return "gpu"
	}
	return s
}

func isMemorySize(w string) bool {
	digits, ok := strings.CutSuffix(w, "gb")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

// ValidClass reports whether s is a class slug: 1 to 32 bytes of [a-z0-9-].
func ValidClass(s string) bool {
	return s != "" && len(s) <= maxClass && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
