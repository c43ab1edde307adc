//go:build integration

package docker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// fixture is an engine, an image and a key.
type fixture struct {
	e   *Engine
	reg *runtimetest.Registry
	img spec.ImageRef
	k   job.Key
}

// peer is the engine's short peer name.
func (f *fixture) peer() string { return string(f.e.jobs.names) }

// memory is what the next engine of the same node remembers.
func (f *fixture) memory() *runtimetest.Memory { return f.e.jobs.rows.Memory.(*runtimetest.Memory) }

// made is an attempt of the fixture's key for which all before the start was done, or tried.
func (f *fixture) made(t *testing.T, p job.Plan) (*attempt, error) {
	t.Helper()
	a := &attempt{jobs: f.e.jobs, key: f.k, want: job.Want{Phase: job.WantRunning, Plan: p},
		note: func(job.Observed) {}}
	return a, a.make(t.Context())
}

func newFixture(t *testing.T, cfg runtimetest.ImageConfig) *fixture {
	t.Helper()
	runtimetest.NeedDocker(t)
	f := &fixture{e: newEngine(t, peerName(t), runtimetest.NewMemory()), reg: runtimetest.StartRegistry(t),
		k: newKey(t)}
	f.img = runtimetest.PushTestJob(t, f.reg, runtimetest.BuildTestJob(t), "test/"+f.peer(), cfg)
	t.Cleanup(func() { remove(t, f.e, f.k); sweep(t, f.e, f.reg) })
	return f
}

func (f *fixture) plan(steps ...string) job.Plan {
	return job.Plan{
		Spec: spec.Spec{Args: steps}, Image: f.img, CPUMilli: 500, RAM: 256 << 20, Shm: 16 << 20,
		Egress:   market.EgressNone,
		Deadline: time.Now().Add(time.Minute),
	}
}

// until reconciles until f says so, and returns what was seen.
func (f *fixture) until(t *testing.T, w job.Want, ok func(job.Observed) bool) job.Observed {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		o, err := f.e.Reconcile(t.Context(), f.k, w)
		if err != nil {
			t.Fatal(err)
		}
		if ok(o) {
			return o
		}
		if time.Now().After(end) {
			t.Fatalf("stuck at %+v", o)
		}
	}
}

func is(want ...job.State) func(job.Observed) bool {
	return func(o job.Observed) bool {
		for _, s := range want {
			if o.State == s {
				return true
			}
		}
		return false
	}
}

func (f *fixture) logs(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	if _, err := f.e.Logs(t.Context(), f.k, 0, false,
		func(r job.LogRecord) error { b.Write(r.Data); return nil }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// says waits until the job's log holds a word.
func (f *fixture) says(t *testing.T, word string) {
	t.Helper()
	var b strings.Builder
	errSaid := errors.New("said")
	if _, err := f.e.Logs(t.Context(), f.k, 0, true, func(r job.LogRecord) error {
		if b.Write(r.Data); strings.Contains(b.String(), word) {
			return errSaid
		}
		return nil
	}); !errors.Is(err, errSaid) {
		t.Fatalf("%q, %v", b.String(), err)
	}
}

// TestEgress_Web_ReachesNothingOfTheRig dials the rig's addresses, where a server really listens, from a job with
// egress web.
func TestEgress_Web_ReachesNothingOfTheRig(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var steps []string
	for _, p := range rigPrefixes() {
		if p.Bits() == 32 && !p.Addr().IsLoopback() {
			steps = append(steps, fmt.Sprintf("dial=%s:%d", p.Addr(), port))
		}
	}
	steps = append(steps, "dial=169.254.169.254:80", "dial=10.213.0.1:80", "dial=192.168.1.1:80",
		"cat=/etc/resolv.conf")
	p := f.plan(steps...)
	p.Egress, p.Resolvers, p.UplinkMbit = market.EgressWeb, []string{"1.1.1.1"}, 20
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	f.until(t, w, is(job.Exited))
	text := f.logs(t)
	t.Log(text)
	if strings.Contains(text, " ok") || strings.Count(text, "failed") != len(steps)-1 {
		t.Errorf("reached something:\n%s", text)
	}
	if !strings.Contains(text, "nameserver 1.1.1.1") {
		t.Errorf("the guard's resolvers are not the job's:\n%s", text)
	}
}

// TestEgress_Web_AllowsItsPortsOnly is the control of the test above: with the rig's own addresses allowed, a server on
// port 443 or 80 is reached and the same server on another port, udp and mail are not.
func TestEgress_Web_AllowsItsPortsOnly(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	f.e.jobs.guards.rig = func() []netip.Prefix { return nil }
	var addr netip.Addr
	for _, p := range rigPrefixes() {
		if a := p.Addr(); p.Bits() == 32 && !a.IsLoopback() && !a.IsPrivate() {
			addr = a
		}
	}
	if !addr.IsValid() {
		t.Skip("this machine has only addresses that no job may reach")
	}
	var steps, want []string
	for port, ok := range map[string]bool{"443": true, "80": true, "8443": false, "25": false} {
		l, err := net.Listen("tcp4", net.JoinHostPort(addr.String(), port))
		if err != nil {
			t.Skipf("port %s is taken: %v", port, err)
		}
		defer l.Close()
		steps = append(steps, "dial="+net.JoinHostPort(addr.String(), port))
		if ok {
			want = append(want, "dial "+net.JoinHostPort(addr.String(), port)+" ok")
		} else {
			want = append(want, "dial "+net.JoinHostPort(addr.String(), port)+" failed")
		}
	}
	p := f.plan(steps...)
	p.Egress, p.Resolvers, p.UplinkMbit = market.EgressWeb, []string{"1.1.1.1"}, 20
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	f.until(t, w, is(job.Exited))
	text := f.logs(t)
	for _, line := range want {
		if !strings.Contains(text, line) {
			t.Errorf("no %q in:\n%s", line, text)
		}
	}
}

func TestGuard_Killed_EndsTheJob(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	p := f.plan("forever")
	p.Egress, p.Resolvers = market.EgressWeb, []string{"1.1.1.1"}
	w := job.Want{Phase: job.WantRunning, Plan: p}
	f.until(t, w, is(job.Running))
	if err := f.e.jobs.kill(t.Context(), f.e.jobs.name(f.k, "guard"), "KILL"); err != nil {
		t.Fatal(err)
	}
	if o := f.until(t, w, is(job.Exited)); o.Code != market.CodeGuardLost {
		t.Errorf("got %+v", o)
	}
}

func TestSellable_Standard_IsStrong(t *testing.T) {
	f := newFixture(t, runtimetest.ImageConfig{})
	rep, err := f.e.Sellable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", rep)
	if len(rep.Weak) > 0 || !rep.Egress {
		t.Errorf("weak: %v; egress: %s", rep.Weak, rep.EgressDetail)
	}
}
