//go:build integration

package itest

import (
	"archive/tar"
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// buyer is a customer's node as a process, with money and one rig in sight.
func (r *rig) buyer(t *testing.T) *proc {
	t.Helper()
	c := newProc(t, r, "customer")
	if _, err := c.api.Airdrop(t.Context(), 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	c.sees(t)
	return c
}

// sees waits until the node knows an offer that is free.
func (p *proc) sees(t *testing.T) {
	t.Helper()
	wait(t, "the offer is not seen", 60*time.Second, func() bool {
		o, err := p.api.Offers(t.Context(), market.Sort{})
		return err == nil && len(o) > 0 && o[0].Free > 0
	})
}

// seller is a provider's node as a process, with one device.
func (r *rig) seller(t *testing.T) *proc {
	t.Helper()
	return newProc(t, r, "provider", "provider.payout="+r.payout.String(), "provider.rate=1/h", "provider.tick=5s",
		"provider.hold=1m",
		"provider.simulate_gpu=rtx-4090:1", "provider.docker_host="+r.docker, "provider.allow_weak_runtime=true",
		"provider.egress=none")
}

// order is an API order of steps of the test program.
func (r *rig) order(key string, steps ...string) api.OrderRequest {
	return api.OrderRequest{Key: key, Job: r.request(key, steps...).File}
}

// ended waits until an order is over and its money is back.
func (p *proc) ended(t *testing.T, id string) (o api.Order) {
	t.Helper()
	wait(t, "the order is not over", 120*time.Second, func() bool {
		var err error
		o, err = p.api.Order(context.Background(), id)
		return err == nil && o.Ended() && o.Finished
	})
	return o
}

// outputs are the files of an order's archive.
func (p *proc) outputs(t *testing.T, id string) map[string]string {
	t.Helper()
	var b bytes.Buffer
	if err := p.api.GetOutputs(context.Background(), id, false, &b); err != nil {
		t.Errorf("outputs: %v", err)
		return nil
	}
	files := map[string]string{}
	for tr := tar.NewReader(&b); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(raw)
	}
}

// slowImage is one of its own, with the test program, that takes some seconds to pull.
func slowImage(t *testing.T, slow *runtimetest.Registry) spec.ImageRef {
	t.Helper()
	noise := make([]byte, 2<<20)
	_, _ = crand.Read(noise) // never fails
	ref, err := slow.Push("gpuai/slow", map[string][]byte{runtimetest.TestJob[1:]: runtimetest.BuildTestJob(t),
		"noise": noise},
		runtimetest.ImageConfig{Entrypoint: []string{runtimetest.TestJob}})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestMissed_CustomerAwayWhileItsJobRan_GetsItsOutputs: a customer whose process is killed or stopped while the job is
// prepared, and is back only after its end, pays for it and gets all that it made.
func TestMissed_CustomerAwayWhileItsJobRan_GetsItsOutputs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prov := r.seller(t)
	c := r.buyer(t)
	// paid for, it is no stranger, who would pay before the work
	first, err := c.api.CreateOrder(t.Context(), r.order("first", "sleep=1s"))
	if err != nil {
		t.Fatal(err)
	}
	if o := c.ended(t, first.ID); o.Code != market.CodeCompleted {
		t.Fatalf("%s %s %s", o.Standing, o.Code, o.Detail)
	}
	slow := runtimetest.StartRegistry(t)
	slow.SetFaults(runtimetest.Faults{Drip: 500_000})
	signal := func(s syscall.Signal) func(*testing.T) {
		return func(t *testing.T) {
			if err := c.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, away := range []struct {
		name        string
		leave, back func(*testing.T)
	}{
		{"killed", c.kill, c.start},
		{"stopped", signal(syscall.SIGSTOP), signal(syscall.SIGCONT)},
	} {
		c.sees(t)
		image := slowImage(t, slow)
		q := r.order(away.name, "write=/workspace/out/result:"+away.name, "sleep=1s", "exit=3")
		q.Job.Image, q.Job.Outputs = image.Ref+"@"+image.Manifest, []spec.Output{{Path: "/workspace/out"}}
		o, err := c.api.CreateOrder(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		lease := ""
		wait(t, "it is not prepared", 60*time.Second, func() bool {
			v, err := c.api.Order(context.Background(), o.ID)
			lease = v.LeaseID
			return err == nil && v.State == "preparing"
		})
		away.leave(t)
		wait(t, "the job does not end", 90*time.Second, func() bool {
			list, _, err := prov.api.ProviderLeases(context.Background(), api.LeaseQuery{})
			return err == nil && slices.ContainsFunc(list,
				func(l api.Lease) bool { return l.ID == lease && l.State == "closing" })
		})
		away.back(t)
		v := c.ended(t, o.ID)
		if v.Code != market.CodeJobFailed || v.ExitCode == nil || *v.ExitCode != 3 || v.ReadyAt == nil ||
			v.Paid.Lamports() == 0 {
			t.Errorf("%s: %s %s %s, exit %v, ready %v, paid %s of %s; %+v", away.name, v.Standing, v.Code, v.Detail,
				v.ExitCode, v.ReadyAt, v.Paid, v.Owed, v.Steps)
		}
		if got := c.outputs(t, o.ID)["out/result"]; got != away.name {
			t.Errorf("%s: outputs hold %q; %+v", away.name, got, v.Steps)
		}
	}
}
