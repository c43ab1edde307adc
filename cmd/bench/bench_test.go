package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGateFigures_ReadsTheTestsLog(t *testing.T) {
	t.Parallel()
	list, err := gateFigures([]byte("=== RUN   TestCU_Gate\n    program_test.go:92: open            2239 CU, " +
		"ceiling  5500\n    program_test.go:92: claim            950 CU, ceiling   900\n--- PASS\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []figure{
		{Name: "cu_open", Value: 2239, Unit: "CU", Target: "≤ 5500", OK: true},
		{Name: "cu_claim", Value: 950, Unit: "CU", Target: "≤ 900"},
	}
	if d := cmp.Diff(want, list); d != "" {
		t.Error(d)
	}
	if _, err := gateFigures([]byte("ok \n")); err == nil {
		t.Error("a log without figures is taken")
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var s []time.Duration
	for i := 100; i > 0; i-- {
		s = append(s, time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 1: 100} {
		if got := quantile(s, q); got != want {
			t.Errorf("quantile %g: %d, want %d", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || quantile(s[:1], 0.5) != 100 {
		t.Error("none or one sample")
	}
}

func TestReport_JSONLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := &report{out: &out, json: true, machine: "m", commit: "c"}
	if err := r.add(figure{Name: "n", Value: 1.23456, Unit: "ms", Peer: "p", PeerValue: 2,
		Target: "≤ 1 ms"}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"name": "n", "value": 1.235, "unit": "ms", "peer": "p", "peer_value": 2.0, "ratio": 0.6173, "target": "≤ 1 ms",
		"ok": false, "machine": "m", "commit": "c",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if round(14896) != 14896 || round(123456.7) != 123500 || math.IsNaN(round(0)) {
		t.Error("rounding")
	}
}

func TestCPUTime_OfThisProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	used := func() time.Duration { // as the kernel tells it to the process itself
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for end := used() + 60*time.Millisecond; used() < end; { // burns what is to be seen
	}
	low := used()
	got, err := cpuTime(os.Getpid())
	if high := used(); err != nil || got < low-20*time.Millisecond || got > high+20*time.Millisecond {
		t.Errorf("%v, between %v and %v; %v", got, low, high, err)
	}
}

func TestRun_Usage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"nothing"}, {"cu", "extra"}, {"start", "-runs", "0"}} {
		if err := run(context.Background(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
