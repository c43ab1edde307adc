package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	units "github.com/docker/go-units"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
	"github.com/gpuai/gpuai/runtime/spec"
)

// facts of the engine that the profile depends on.
type facts struct {
	appArmor bool
	cdi      bool             // device requests by CDI
	ipv6     bool             // of the kernel
	hard     map[string]int64 // hard limits: nofile, memlock; -1 = unlimited
	logSize  string           // of one file of a job's log; empty: logSize
}

// jobConfig is the `standard` profile: root in the container and a writable root file system, so that public images,
// apt and pip run unchanged, and nothing of the rig within reach.
func jobConfig(p job.Plan, img *image.InspectResponse, labels map[string]string, network string, tools string,
	volumes map[string]string, f facts) (*container.Config, *container.HostConfig) {
	mode := modeCapture
	if p.Spec.Init == "exec" {
		mode = "--exec"
	}
	cfg := &container.Config{
		Image: img.ID, User: img.Config.User, WorkingDir: p.Spec.Workdir, Env: jobEnv(p, img.Config.Env),
		Labels:     labels,
		Entrypoint: []string{sandbox.Helper, "init", mode, "--"},
		Cmd:        argv(p.Spec, img.Config.Entrypoint, img.Config.Cmd),
		StopSignal: "SIG" + stopSignal(p), Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
	if cfg.WorkingDir == "" {
		cfg.WorkingDir = img.Config.WorkingDir
	}
	h := baseHost(p.RAM, f)
	if network == "none" { // a joining container shares the guard's
		cfg.Hostname, h.ExtraHosts, h.Sysctls = "job", []string{"job:127.0.0.1"}, loopback6(f)
	}
	cores := int64(p.CPUMilli+999) / 1000
	pids := max(4096, 256*cores)
	h.NetworkMode = container.NetworkMode(network)
	h.CapAdd = []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE"}
	h.Resources.NanoCPUs = int64(p.CPUMilli) * 1e6
	h.Resources.PidsLimit = &pids
	h.Resources.DeviceRequests = deviceRequests(p.Devices, f.cdi)
	h.ShmSize = int64(p.Shm)
	h.LogConfig = jobLog(f)
	h.Mounts = []mount.Mount{{
		Type: mount.TypeVolume, Source: tools, Target: sandbox.Dir, ReadOnly: true,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true},
	}}
	for _, target := range slices.Sorted(maps.Keys(volumes)) {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Source: volumes[target], Target: target})
	}
	return cfg, h
}

// baseHost holds what job, guard and probe have in common.
func baseHost(memory uint64, f facts) *container.HostConfig {
	no := false
	h := &container.HostConfig{
		IpcMode: "private", CgroupnsMode: "private", CapDrop: []string{"ALL"},
		SecurityOpt: []string{"no-new-privileges", "seccomp=" + sandbox.Seccomp()},
		OomScoreAdj: 500, RestartPolicy: container.RestartPolicy{Name: "no"}, Init: &no, Runtime: "runc",
		MaskedPaths: maskedPaths(), ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
			"/proc/sysrq-trigger"},
		Resources: container.Resources{Memory: int64(memory), MemorySwap: int64(memory), Ulimits: ulimits(f.hard)},
	}
	if f.appArmor {
		h.SecurityOpt = append(h.SecurityOpt, "apparmor=docker-default")
	}
	return h
}

// loopback6 turns IPv6 on for the loopback interface, since the engine's hosts file names ::1; engines before 26 leave
// it off there. Nil where the kernel has none.
func loopback6(f facts) map[string]string {
	if !f.ipv6 {
		return nil
	}
	return map[string]string{"net.ipv6.conf.lo.disable_ipv6": "0"}
}

func logs(size, files string) container.LogConfig {
	return container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": size, "max-file": files}}
}

// modeCapture is init's word for a job whose output comes as frames; a container of an older node has another, and logs
// as it is.
const modeCapture = "--capture"

// The engine keeps about logFiles × logSize of a job's log, which is some 256 MiB of output in frames. Its local driver
// keeps bytes as they are, also those of a job that is its own first process. It does not compress: a reader of a
// compressed file waits for all of it.
const (
	logSize  = "64m"
	logFiles = "6"
)

func jobLog(f facts) container.LogConfig {
	size := logSize
	if f.logSize != "" {
		size = f.logSize
	}
	return container.LogConfig{Type: "local", Config: map[string]string{"max-size": size, "max-file": logFiles,
		"compress": "false"}}
}

// maskedPaths replaces the engine's own list, which is older on 20.10; an empty list would unmask everything.
func maskedPaths() []string {
	out := []string{"/sys/firmware", "/sys/devices/virtual/powercap"}
	for _, p := range []string{"asound", "acpi", "interrupts", "kcore", "keys", "latency_stats", "timer_list",
		"timer_stats", "sched_debug", "scsi"} {
		out = append(out, "/proc/"+p)
	}
	thermal, _ := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle") // the pattern is valid
	return append(out, thermal...)
}

// ulimits asks for no more than the engine can give: above that the start fails.
func ulimits(hard map[string]int64) []*units.Ulimit {
	out := []*units.Ulimit{{Name: "core", Soft: 0, Hard: 0}}
	if l, ok := hard["nofile"]; ok {
		n := int64(1 << 20)
		if l >= 0 {
			n = min(n, l)
		}
		out = append(out, &units.Ulimit{Name: "nofile", Soft: n, Hard: n})
	}
	if l, ok := hard["memlock"]; ok {
		out = append(out, &units.Ulimit{Name: "memlock", Soft: l, Hard: l})
	}
	return out
}

// argv is what the image would run, or what the job puts in its place, by the engine's own rules: a new entrypoint
// drops the image's arguments, and an entrypoint of one empty word is none.
func argv(s spec.Spec, entry, cmd []string) []string {
	head, tail := entry, cmd
	if len(s.Command) > 0 {
		head, tail = s.Command, nil
	}
	if len(s.Args) > 0 {
		tail = s.Args
	}
	if len(head) == 1 && head[0] == "" {
		head = nil
	}
	return append(slices.Clone(head), tail...)
}

// jobEnv deletes the reserved variables of the image (a bare name does that) and hides LD_* from root-run hooks.
func jobEnv(p job.Plan, imageEnv []string) []string {
	set := map[string]string{}
	gone := map[string]bool{}
	take := func(k, v string) {
		switch {
		case strings.HasPrefix(k, guard.LDPrefix): // only we make these
			gone[k] = true
		case reserved(k):
			gone[k] = true
		case strings.HasPrefix(k, "LD_"):
			gone[k] = true
			set[guard.LDPrefix+k] = v
		default:
			set[k] = v
		}
	}
	for _, kv := range imageEnv {
		k, v, _ := strings.Cut(kv, "=")
		if reserved(k) || strings.HasPrefix(k, "LD_") {
			take(k, v) // the rest comes with the image
		}
	}
	for k, v := range p.Spec.Env {
		take(k, v)
	}
	gpu := false
	for _, d := range p.Devices {
		gpu = gpu || d.Kind == "gpu"
	}
	if !gpu {
		set["NVIDIA_VISIBLE_DEVICES"] = "void"
		delete(gone, "NVIDIA_VISIBLE_DEVICES")
	}
	var out []string
	for k, v := range set {
		out = append(out, k+"="+v)
	}
	for k := range gone {
		if _, again := set[k]; !again {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func reserved(k string) bool {
	for _, p := range []string{"NVIDIA_", "MELLANOX_", "GPUAI_", "RAY_AUTH_"} {
		if strings.HasPrefix(k, p) {
			return true
		}
	}
	return k == "CUDA_VISIBLE_DEVICES"
}

// deviceRequests names devices by UUID only: indexes reorder, counts underflow.
func deviceRequests(devices []job.Device, cdi bool) []container.DeviceRequest {
	var ids []string
	for _, d := range devices {
		switch {
		case d.Kind != "gpu":
		case cdi:
			ids = append(ids, "nvidia.com/gpu="+d.UUID)
		default:
			ids = append(ids, d.UUID)
		}
	}
	switch {
	case len(ids) == 0:
		return nil
	case cdi:
		return []container.DeviceRequest{{Driver: "cdi", DeviceIDs: ids}}
	}
	return []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: ids,
		Capabilities: [][]string{{"gpu", "compute", "utility"}}}}
}

// volumesOf names a volume for /workspace and each VOLUME of the image; an anonymous one would be nobody's.
func (ns names) volumesOf(k job.Key, img *image.InspectResponse) map[string]string {
	out := map[string]string{spec.Workspace: ns.volume(k, "work")}
	n := 0
	for _, v := range slices.Sorted(maps.Keys(img.Config.Volumes)) {
		if v = filepath.Clean("/" + v); v != spec.Workspace {
			n++
			out[v] = ns.volume(k, fmt.Sprintf("v%d", n))
		}
	}
	return out
}
