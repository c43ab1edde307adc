package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one measured number. Ratio is Value / PeerValue; both are left out where there is no peer. OK: the target
// holds, or there is none.
type figure struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Peer      string  `json:"peer,omitempty"`
	PeerValue float64 `json:"peer_value,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	Target    string  `json:"target,omitempty"`
	OK        bool    `json:"ok"`
	Machine   string  `json:"machine"`
	Commit    string  `json:"commit"`
}

// report prints figures as they come.
type report struct {
	out             io.Writer
	json            bool
	machine, commit string
}

func newReport(ctx context.Context, out io.Writer, asJSON bool) (*report, error) {
	commit, err := commitOf(ctx)
	if err != nil {
		return nil, err
	}
	return &report{out: out, json: asJSON, machine: machine(), commit: commit}, nil
}

// add completes a figure and prints it.
func (r *report) add(f figure) error {
	f.Machine, f.Commit = r.machine, r.commit
	if f.PeerValue != 0 {
		f.Ratio = round(f.Value / f.PeerValue)
	}
	f.Value, f.PeerValue = round(f.Value), round(f.PeerValue)
	if r.json {
		e := json.NewEncoder(r.out)
		e.SetEscapeHTML(false)
		return e.Encode(f)
	}
	line := fmt.Sprintf("%-34s %12g %-10s", f.Name, f.Value, f.Unit)
	if f.Peer != "" {
		line += fmt.Sprintf(" %s: %g, ratio %g", f.Peer, f.PeerValue, f.Ratio)
	}
	if f.Target != "" {
		line += fmt.Sprintf("  [%s: %s]", f.Target, map[bool]string{true: "ok", false: "MISSED"}[f.OK])
	}
	_, err := fmt.Fprintln(r.out, line)
	return err
}

// note is for people; it never mixes with the figures.
func (r *report) note(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

// round keeps four significant digits, more than any time measured here has, and whole numbers as they are.
func round(v float64) float64 {
	if v == math.Trunc(v) {
		return v
	}
	var out float64
	if _, err := fmt.Sscan(fmt.Sprintf("%.4g", v), &out); err != nil {
		return v
	}
	return out
}

// quantile is the smallest sample that is not below the share q of all of them; 0 without samples.
func quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	i := int(q*float64(len(s))+0.9999) - 1
	return s[min(max(i, 0), len(s)-1)]
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// commitOf names what is measured; a changed checkout is marked, for nobody can repeat it.
func commitOf(ctx context.Context) (string, error) {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("name the commit: run this in the checkout: %w", err)
	}
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output()
	if err != nil {
		return "", fmt.Errorf("name the commit: %w", err)
	}
	commit := strings.TrimSpace(string(head))
	if len(changed) > 0 {
		commit += "+changes"
	}
	return commit, nil
}

// machine is what a reader needs to compare: cores, processor, memory, systems.
func machine() string {
	cpu := field("/proc/cpuinfo", "model name", ":")
	var kb float64
	_, _ = fmt.Sscan(field("/proc/meminfo", "MemTotal", ":"), &kb) // 0 GiB says that it is unknown
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")         // empty says the same
	return fmt.Sprintf("%d cores %s, %.0f GiB, %s, Linux %s, %s", runtime.NumCPU(), cpu, kb/(1<<20),
		strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`), strings.TrimSpace(string(kernel)),
		runtime.Version())
}

// field is the value of the first line "key<sep>value" of a file, empty if there is none.
func field(path, key, sep string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), sep); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
