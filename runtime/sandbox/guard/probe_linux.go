package guard

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wantCaps: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE.
const wantCaps = "00000000000004fb"

// Probe tries what the profile forbids and reads what it limits.
func Probe(cfg ProbeConfig) ProbeReport {
	r := ProbeReport{Calls: map[string]string{}, Limits: map[string]int64{}}
	weak := func(format string, a ...any) { r.Weak = append(r.Weak, fmt.Sprintf(format, a...)) }
	st, err := procStatus(1)
	if err != nil {
		weak("%v", err)
		return r
	}
	r.CapEff = st["CapEff"]
	r.Seccomp, _ = strconv.Atoi(st["Seccomp"])
	r.NoNewP, _ = strconv.Atoi(st["NoNewPrivs"])
	if r.CapEff != wantCaps || st["CapBnd"] != wantCaps {
		weak("capabilities %s, bound %s, want %s", r.CapEff, st["CapBnd"], wantCaps)
	}
	if r.Seccomp != 2 || r.NoNewP != 1 {
		weak("seccomp %d, no_new_privs %d", r.Seccomp, r.NoNewP)
	}
	probeCalls(&r, weak)
	probePaths(&r, weak)
	probeLimits(&r, cfg, weak)
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(k, "LD_") || strings.HasPrefix(k, "NVIDIA_") && v != "void" ||
			k == "CUDA_VISIBLE_DEVICES" {
			r.Reserved = append(r.Reserved, k)
			weak("variable %s", k)
		}
	}
	for _, a := range cfg.Unreachable {
		c, err := net.DialTimeout("tcp", a, 300*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) { // a refusal is an answer of the rig
			r.Reached = append(r.Reached, a)
			weak("reached %s", a)
		}
	}
	return r
}

func probeCalls(r *ProbeReport, weak func(string, ...any)) {
	fail := func(name string, err error) {
		if err == nil {
			r.Calls[name] = "ok"
			weak("%s works", name)
			return
		}
		r.Calls[name] = err.Error()
	}
	raw := func(nr, a, b, c uintptr) error {
		if _, _, e := syscall.RawSyscall(nr, a, b, c); e != 0 {
			return e
		}
		return nil
	}
	fail("unshare-user", raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0))
	fail("mount", unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	fail("keyctl", raw(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0))
	fail("bpf", raw(unix.SYS_BPF, unix.BPF_PROG_GET_NEXT_ID, 0, 0))
	var params [120]byte
	fail("io_uring", raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0))
	fail("userfaultfd", raw(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0))
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	_, perr := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
	fail("perf_event_open", perr)
	for name, family := range map[string]int{"alg": unix.AF_ALG, "vsock": unix.AF_VSOCK, "packet": unix.AF_PACKET} {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if errors.Is(err, unix.ESOCKTNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		}
		if err == nil {
			_ = unix.Close(fd)
		}
		fail("socket-"+name, err)
	}
	f, err := os.OpenFile("/proc/sys/kernel/core_pattern", os.O_WRONLY, 0)
	if err == nil {
		_ = f.Close()
	}
	fail("write-core-pattern", err)
}

func probePaths(r *ProbeReport, weak func(string, ...any)) {
	for _, p := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"} {
		if b, err := os.ReadFile(p); err == nil && len(b) > 0 {
			weak("%s is readable", p)
		}
	}
	for _, p := range []string{"/proc/acpi", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"} {
		if d, err := os.ReadDir(p); err == nil && len(d) > 0 {
			weak("%s is visible", p)
		}
	}
	usual := []string{"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
		"stdin", "stdout", "tty", "urandom", "zero"}
	names, _ := filepath.Glob("/dev/*")
	for _, n := range names {
		if n = filepath.Base(n); !slices.Contains(usual, n) {
			r.Devices = append(r.Devices, n)
			weak("device %s", n)
		}
	}
}

func probeLimits(r *ProbeReport, cfg ProbeConfig, weak func(string, ...any)) {
	r.Cgroup = 1
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		r.Cgroup = 2
		r.Limits["memory"] = number("/sys/fs/cgroup/memory.max")
		r.Limits["pids"] = number("/sys/fs/cgroup/pids.max")
		r.Limits["cpu_quota_us"] = number("/sys/fs/cgroup/cpu.max")
	} else {
		r.Limits["memory"] = number("/sys/fs/cgroup/memory/memory.limit_in_bytes")
		r.Limits["pids"] = number("/sys/fs/cgroup/pids/pids.max")
		r.Limits["cpu_quota_us"] = number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
	}
	for name, which := range map[string]int{"nofile": unix.RLIMIT_NOFILE, "memlock": unix.RLIMIT_MEMLOCK} {
		var l unix.Rlimit
		if unix.Getrlimit(which, &l) == nil {
			r.Limits[name] = int64(l.Max) // unlimited is -1
		}
	}
	if cfg.Memory > 0 && r.Limits["memory"] != cfg.Memory {
		weak("memory limit %d, want %d", r.Limits["memory"], cfg.Memory)
	}
	if cfg.Pids > 0 && r.Limits["pids"] != cfg.Pids {
		weak("pids limit %d, want %d", r.Limits["pids"], cfg.Pids)
	}
	if r.Limits["cpu_quota_us"] <= 0 {
		weak("no cpu limit")
	}
}

// number reads the first number of a file; "max" or none is -1.
func number(file string) int64 {
	raw, err := os.ReadFile(file)
	if err != nil {
		return -1
	}
	f := strings.Fields(string(raw))
	if len(f) == 0 {
		return -1
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return -1
	}
	return n
}
