package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

func TestRow_Newer_IsLeftAlone(t *testing.T) {
	var me *market.Error
	if _, err := parseRow([]byte(`{"handle":{"v":2}}`)); !errors.As(err, &me) || me.Code != market.CodeHandleTooNew {
		t.Errorf("got %v", err)
	}
}

// TestRow_V1_StaysReadable pins the first version's bytes.
func TestRow_V1_StaysReadable(t *testing.T) {
	raw := `{"handle":{"v":1,"driver":"docker","boot_id":"b","job_id":"j","guard_id":"g","guard_started":"s","pid":7,"pid_start":9,"spec_hash":"h"},` +
		`"start":true,"opened":true,"start_failed":"f","devices":["GPU-1"],"stop":true,"code":"c","detail":"d","end_code":"e","removed":true}`
	got, err := parseRow([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	want := row{
		Handle: handle{1, "docker", "b", "j", "g", "s", 7, 9, "h"}, Start: true, Opened: true, StartFailed: "f",
		Devices: []string{"GPU-1"},
		Stop:    true, Code: "c", Detail: "d", EndCode: "e", Removed: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"handle":{"v":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := parseRow(raw); err == nil && r.Handle.V > rowVersion {
			t.Error("a newer row was taken")
		}
	})
}

func TestSee_AfterAnotherBoot_IsRigRestarted(t *testing.T) {
	r := row{Handle: handle{BootID: "another"}, Start: true, Opened: true}
	c := &container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{State: &container.State{Status: "exited", ExitCode: 255}}}
	for _, c := range []*container.InspectResponse{nil, c} {
		if o := see(r, c); o.State != job.Exited || o.Code != market.CodeRigRestarted || o.Exit != -1 {
			t.Errorf("got %+v", o)
		}
	}
}

func TestCheckGate(t *testing.T) {
	good := guard.GateReport{CapEff: jobCaps, Seccomp: 2, NoNewP: 1}
	gpu := good
	gpu.Minors, gpu.UUIDs = []int{3}, map[string]string{"3": "GPU-1"}
	hidden := good
	hidden.Minors = []int{0}
	root := good
	root.CapEff = "000001ffffffffff"
	open := good
	open.Seccomp = 0
	one := []job.Device{{Kind: "gpu", UUID: "GPU-1"}}
	for name, c := range map[string]struct {
		rep  guard.GateReport
		dev  []job.Device
		code market.Code
	}{
		"cpu": {good, []job.Device{{Kind: "cpu", UUID: "x"}}, ""}, "gpu": {gpu, one, ""},
		"simulated": {good, []job.Device{{Kind: "sim", UUID: "SIM-1"}}, ""},
		"missing":   {good, one, market.CodeGPUMissing}, "extra": {gpu, nil, market.CodeGPUMissing},
		"no uuid": {hidden, nil, market.CodeGPUMissing},
		"caps":    {root, nil, market.CodeSandboxWeak}, "seccomp": {open, nil, market.CodeSandboxWeak},
	} {
		_, err := checkGate(c.rep, c.dev)
		var me *market.Error
		if got := errors.As(err, &me); got != (c.code != "") || got && me.Code != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
	}
}

func TestTally_Stream_SumsLayers(t *testing.T) {
	layers := map[string]layer{}
	line := func(id, status string, cur, total uint64) job.Progress {
		m := pullLine{ID: id, Status: status}
		m.ProgressDetail.Current, m.ProgressDetail.Total = cur, total
		return tally(layers, m, 100)
	}
	line("latest", "Pulling from x", 0, 0)
	line("a", "Pulling fs layer", 0, 0)
	line("b", "Pulling fs layer", 0, 0)
	if g := line("a", "Downloading", 10, 40); g != (job.Progress{Phase: "pull", Done: 10, Total: 100}) {
		t.Errorf("got %+v", g)
	}
	line("a", "Download complete", 0, 0)
	if g := line("b", "Downloading", 60, 60); g.Done != 100 || g.Phase != "pull" {
		t.Errorf("got %+v", g)
	}
	if g := line("b", "Extracting", 1, 60); g.Phase != "extract" || g.Done != 100 || g.Total != 100 {
		t.Errorf("got %+v", g)
	}
}

func TestSortPull_Words(t *testing.T) {
	for words, code := range map[string]market.Code{
		"manifest for x@sha256:1 not found: manifest unknown":          market.CodeImageNotFound,
		"pull access denied for x":                                     market.CodeImageNotFound,
		"filesystem layer verification failed for digest sha256:1":     market.CodeImageRefused,
		"toomanyrequests: slow down":                                   "",
		"Get \"https://x/v2/\": dial tcp: connect: connection refused": "",
		"unexpected EOF": "",
	} {
		var me *market.Error
		if got := errors.As(sortPull(errors.New(words)), &me); got != (code != "") || got && me.Code != code {
			t.Errorf("%q: want %q", words, code)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[string]bool{
		"1.1.5+ds1": false, "1.2.7": false, "1.2.8": true, "1.3.2": false, "1.3.3": true, "1.4.0-rc.2": false,
		"1.4.0-rc.3": true, "1.4.0": true,
		"1.5.1": true, "": false, "v1.2.9": true, "1.2.10": true,
	} {
		if got := runcFixed(v); got != want {
			t.Errorf("runc %q: %v, want %v", v, got, want)
		}
	}
}

func TestParseRoute(t *testing.T) {
	for line, want := range map[string]string{
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0": "192.0.2.0/24",
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0": "",
		"Iface\tDestination\tGateway\tFlags":                         "",
	} {
		p, ok := parseRoute(line)
		if ok != (want != "") || ok && p != netip.MustParsePrefix(want) {
			t.Errorf("%q: %v, %v", line, p, ok)
		}
	}
}

func TestDemux_Frames_AreMessages(t *testing.T) {
	frame := func(stream byte, s string) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, uint32(len(s))), s...)
	}
	var got []string
	err := demux(bytes.NewReader(append(frame(1, "one"), frame(2, "two")...)),
		func(_ byte, b []byte) error { got = append(got, string(b)); return nil })
	if d := cmp.Diff([]string{"one", "two"}, got); err != nil || d != "" {
		t.Error(err, d)
	}
	for _, bad := range [][]byte{frame(1, "x")[:8], {9, 0, 0, 0, 0, 0, 0, 1, 'x'}, {1, 0, 0, 0, 255, 255, 255, 255},
		frame(3, "broken")} {
		if err := demux(bytes.NewReader(bad), func(byte, []byte) error { return nil }); err == nil {
			t.Errorf("%v passed", bad)
		}
	}
}

func TestStamp(t *testing.T) {
	at, rest := stamp([]byte("2026-11-25T01:00:00.123456789Z hello world\n"))
	if at.Nanosecond() != 123456789 || string(rest) != "hello world\n" {
		t.Errorf("got %v, %q", at, rest)
	}
}

func TestWatch_SlowWindow_Fails(t *testing.T) {
	im := images{window: time.Minute}
	f := &flight{prog: job.Progress{Phase: "pull", Total: 1000}}
	watch := im.watch(job.Plan{FloorRate: 10}, f)
	at := time.Now()
	step := func(d time.Duration, done uint64) error {
		at, f.prog.Done = at.Add(d), done
		return watch(at)
	}
	for i := range uint64(70) {
		if err := step(time.Second, i*20); err != nil {
			t.Fatalf("at 20 bytes/s: %v", err)
		}
	}
	failed := false
	for range 70 {
		failed = failed || step(time.Second, 1400) != nil
	}
	if !failed {
		t.Error("a stalled pull goes on")
	}
}

func TestKeyOf_Names(t *testing.T) {
	e, err := New(Config{Peer8: "abcd1234"}, runtimetest.NewMemory(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	k := job.Key{Lease: market.LeaseID{1, 2, 3}, Attempt: 4}
	got, role, ok := e.jobs.keyOf("/"+e.jobs.name(k, "guard"), k.Lease.String())
	if !ok || got != k || role != "guard" {
		t.Errorf("got %v, %q, %v", got, role, ok)
	}
	for _, bad := range []string{"/gpuai-other123-0102030000000000-job-1", "/" + e.jobs.prefix() + "probe",
		"/" + e.jobs.prefix() + "ffffffffffffffff-job-1"} {
		if _, _, ok := e.jobs.keyOf(bad, k.Lease.String()); ok {
			t.Errorf("%s is ours", bad)
		}
	}
}

func TestReconcile_EngineSilent_IsUnknown(t *testing.T) {
	e, err := New(Config{Peer8: "abcd1234", Host: "unix:///nonexistent/docker.sock"}, runtimetest.NewMemory(),
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, phase := range []job.Phase{job.WantRunning, job.WantPaused, job.WantGone} {
		o, err := e.Reconcile(context.Background(), job.Key{}, job.Want{Phase: phase})
		if o.State != job.Unknown || err == nil {
			t.Errorf("phase %d: %+v, %v", phase, o, err)
		}
	}
}
