package runtimetest

import (
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

func deadline(t *testing.T, b *bench) {
	p := b.plan("forever")
	p.Deadline = time.Now().Add(-time.Second)
	end := time.Now().Add(patience)
	for time.Now().Before(end) {
		o, err := b.r.Reconcile(b.ctx, b.k, job.Want{Phase: job.WantRunning, Plan: p})
		if err != nil {
			t.Fatal(err)
		}
		if o.State == job.FailedState {
			if o.Code != market.CodeImageStalled {
				t.Errorf("code %q", o.Code)
			}
			return
		}
	}
	t.Fatal("never failed")
}

func diskExceeded(t *testing.T, b *bench) {
	p := b.plan("fill=/workspace/x:3145728", "fill=/workspace/y:3145728", "forever")
	p.Disk = 4 << 20
	o := b.finish(p)
	if o.Code != market.CodeDiskExceeded || o.OOM || !strings.Contains(o.Detail, "granted") ||
		!strings.Contains(o.Detail, "at the peak") {
		t.Errorf("got %+v", o)
	}
	again, err := b.r.Reconcile(b.ctx, b.k, job.Want{Phase: job.WantGone, Plan: p})
	if err != nil || again.State != job.Exited || again.Code != o.Code || again.Detail != o.Detail {
		t.Errorf("the cause is forgotten: %+v, %v", again, err)
	}
}
