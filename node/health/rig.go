package health

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits of the rig's checks: the floor of free disk is the larger of both; slowSync is a bound for the slowest of
// syncTries syncs.
const (
	diskFloor        = 20 << 30
	diskFloorPercent = 5
	slowSync         = 50 * time.Millisecond
	syncTries        = 20
)

func rig(ctx context.Context, in Input) []Finding {
	out := append([]Finding{system(runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU())},
		Shares(in.Config.Provider, runtime.NumCPU(), TotalRAM())...)
	if f, known := udpBuffers(sysctl); known {
		out = append(out, f)
	}
	dir := in.Config.Node.DataDir
	if dir == "" {
		return append(out, found(market.CodeDataDirUnusable, "no folder is set", ""))
	}
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) { // the node will make it: look at what is there
		return append(out, disk(existing(dir))...)
	}
	if err != nil {
		return append(out, found(market.CodeDataDirUnusable, err.Error(), ""))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		out = append(out, found(market.CodeDataDirOpen, fmt.Sprintf("%s has mode %o", dir, mode), "chmod 700 "+dir))
	}
	state := filepath.Join(dir, "state.db")
	if info, err := os.Stat(state); err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		out = append(out, found(market.CodeDataDirOpen, fmt.Sprintf("%s has mode %o", state, info.Mode().Perm()),
			"chmod 600 "+state))
	}
	return append(append(out, disk(dir)...), syncs(ctx, dir))
}

func system(name string, cores int) Finding {
	if name != "linux/amd64" {
		return found(market.CodeSystemUnsupported, name, "")
	}
	return ok(fmt.Sprintf("%s, %d cores", name, cores))
}

// udpBuffer is what QUIC wants of the kernel, in bytes each way.
const udpBuffer = 7_500_000

// sysctl reads a limit of the kernel's network; an error: this system does not show it.
func sysctl(name string) (int, error) {
	raw, err := os.ReadFile("/proc/sys/net/core/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// udpBuffers judges the smaller of the two limits; false: they are not known.
func udpBuffers(read func(name string) (int, error)) (f Finding, known bool) {
	in, err := read("rmem_max")
	out, err2 := read("wmem_max")
	if err != nil || err2 != nil {
		return f, false
	}
	actual := fmt.Sprintf("UDP buffers of %d KiB in, %d KiB out", in>>10, out>>10)
	if least := min(in, out); least < udpBuffer {
		return found(market.CodeUDPBufferSmall, actual, "").needs(">=", udpBuffer/1e6, "MB"), true
	}
	return ok(actual), true
}

// existing is the nearest folder above dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}

func disk(dir string) []Finding {
	v, err := volumeOf(dir)
	if err != nil {
		return nil // unknown on this system, which cannot sell
	}
	return v.judge(dir)
}

func (v volume) judge(dir string) (out []Finding) {
	if v.remote != "" {
		out = append(out, found(market.CodeDataDirRemote, fmt.Sprintf("%s is on %s", dir, v.remote), ""))
	}
	text := fmt.Sprintf("%d of %d GiB free at %s", v.free>>30, v.total>>30, dir)
	if floor := max(diskFloor, v.total/100*diskFloorPercent); v.free < floor {
		return append(out, found(market.CodeDiskFull, text, "").needs(">=", float64(floor), "bytes"))
	}
	return append(out, ok(text))
}

// syncs measures how long a small write takes to be safe.
func syncs(ctx context.Context, dir string) Finding {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return found(market.CodeDataDirUnusable, err.Error(), "")
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for range syncTries {
		start := time.Now()
		if _, err = f.Write([]byte("payment\n")); err == nil {
			err = f.Sync()
		}
		if err != nil {
			return found(market.CodeDataDirUnusable, err.Error(), "")
		}
		took = append(took, time.Since(start))
		if ctx.Err() != nil {
			break
		}
	}
	return syncTook(slices.Max(took).Round(100 * time.Microsecond))
}

func syncTook(worst time.Duration) Finding {
	if worst > slowSync {
		return found(market.CodeDiskSlow, fmt.Sprintf("a write took up to %s", worst), "").needs("<=",
			float64(slowSync.Milliseconds()), "ms")
	}
	return ok(fmt.Sprintf("a write is safe within %s", worst))
}
