package health

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
)

// Shares finds what a provider lends out beyond what its machine has: cores, and bytes of memory, 0 if unknown.
func Shares(p config.Provider, cores int, memory uint64) (out []Finding) {
	if p.Cores > cores {
		out = append(out, found(market.CodeShareTooLarge,
			fmt.Sprintf("provider.cores is %d, and this machine has %d", p.Cores,
				cores), fmt.Sprintf("gpuai config set provider.cores=%d", max(cores-1, 1))))
	}
	if memory > 0 && uint64(p.Memory) > memory {
		out = append(out, found(market.CodeShareTooLarge,
			fmt.Sprintf("provider.memory is %s, and this machine has %.1f GiB",
				p.Memory, float64(memory)/(1<<30)), "gpuai config set provider.memory=0B"))
	}
	return out
}

// TotalRAM is MemTotal of the machine in bytes, 0 where it is not known.
func TotalRAM() uint64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kb, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
