package docker

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// facts reads what the profile depends on. Errors: *market.Error cdi-stale; the engine's.
func (t *tools) facts(ctx context.Context, devices []job.Device, prep *prepared) (facts, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	info, err := t.api.Info(ctx)
	if err != nil {
		return facts{}, engineError("ask engine", err)
	}
	_, err = os.Stat("/proc/sys/net/ipv6")
	f := facts{hard: prep.hard, logSize: t.logSize, ipv6: err == nil}
	for _, o := range info.SecurityOptions {
		f.appArmor = f.appArmor || strings.Contains(o, "apparmor")
	}
	for _, d := range devices {
		if d.Kind == "gpu" && len(info.CDISpecDirs) > 0 && hasCDI(info.CDISpecDirs) {
			f.cdi = true
			if !cdiNames(info.CDISpecDirs, d.UUID) {
				return f, &market.Error{
					Code: market.CodeCDIStale, Kind: market.KindUnavailable, Op: "select devices",
					Detail: "no CDI file names " + d.UUID,
					Hint:   "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
				}
			}
		}
	}
	return f, nil
}

func cdiFiles(dirs []string) (out []string) {
	for _, d := range dirs {
		for _, ext := range []string{"*.yaml", "*.json"} {
			m, _ := filepath.Glob(filepath.Join(d, ext)) // the pattern is valid
			out = append(out, m...)
		}
	}
	return out
}

func hasCDI(dirs []string) bool { return cdiNames(dirs, "nvidia.com/gpu") }

func cdiNames(dirs []string, word string) bool {
	for _, f := range cdiFiles(dirs) {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), word) {
			return true
		}
	}
	return false
}
