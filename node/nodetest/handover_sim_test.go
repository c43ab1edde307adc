package nodetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// heldGPU is a hand-over that finds what left says; asked counts the looks.
type heldGPU struct {
	mu    sync.Mutex
	left  string
	asked int
}

func (h *heldGPU) set(left string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = left
}

func (h *heldGPU) looks() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func (*heldGPU) Learn(context.Context, []string) error { return nil }

func (*heldGPU) Idle(uuids []string) (out []gpu.Idle) {
	used := uint64(12)
	for _, u := range uuids {
		out = append(out, gpu.Idle{UUID: u, UsedMiB: &used})
	}
	return out
}

func (h *heldGPU) Left(_ context.Context, idle []gpu.Idle) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	if len(idle) != 1 || idle[0].UsedMiB == nil || *idle[0].UsedMiB != 12 {
		return "the measure of before the lease is lost", nil
	}
	return h.left, nil
}

// simulateGPU is simulate with a rig of one GPU, on which left is left.
func simulateGPU(t *testing.T, left string, f func(*testing.T, *world, *heldGPU)) {
	t.Helper()
	h := &heldGPU{left: left}
	simulate(t, setup{work: 10 * time.Second, hand: h}, func(t *testing.T, w *world) { f(t, w, h) })
}

// TestHandOver_ClearLate_DeviceWaitsForIt: the job is over and its memory is not free yet: no other lease gets the
// device until it is, also when the node restarts meanwhile; then it is sold again.
func TestHandOver_ClearLate_DeviceWaitsForIt(t *testing.T) {
	t.Parallel()
	simulateGPU(t, "process 4242 is still on it", func(t *testing.T, w *world, h *heldGPU) {
		id := w.place(t, request("one"))
		until(t, "nobody looks at the device", func() bool { return h.looks() >= 2 })
		if s := w.prov.View().Devices[0].State; s == "free" {
			t.Error("the device is free while a process is on it")
		}
		w.stopProv()
		w.startProvider(t)
		n := h.looks()
		until(t, "nobody looks after the restart", func() bool { return h.looks() > n })
		if s := w.prov.View().Devices[0].State; s == "free" {
			t.Error("the restart freed the device")
		}
		h.set("")
		if v := w.await(t, id, over); v.Code != market.CodeCompleted {
			t.Fatalf("%s: %s; %+v", v.Code, v.Detail, v.Steps)
		}
		until(t, "the device is not free again", func() bool { return w.prov.View().Devices[0].State == "free" })
		if v := w.await(t, w.place(t, request("two")), over); v.Code != market.CodeCompleted {
			t.Errorf("the next lease ended as %s: %s", v.Code, v.Detail)
		}
	})
}

// TestHandOver_NeverClear_IsQuarantined: what is left after a minute takes the device out of the Offer, also after a
// restart. The lease ends as the job did, and is paid to the unit.
func TestHandOver_NeverClear_IsQuarantined(t *testing.T) {
	t.Parallel()
	simulateGPU(t, "1530 MiB of it are still used, 12 MiB were before", func(t *testing.T, w *world, _ *heldGPU) {
		v := w.await(t, w.place(t, request("one")), over)
		if v.Code != market.CodeCompleted || v.Paid+v.Returned != v.Deposit || v.Paid != 10*second {
			t.Errorf("%s: %s; deposit %d, paid %d, returned %d, claimed %d", v.Code, v.Detail, v.Deposit, v.Paid,
				v.Returned, v.Lease.Claim)
		}
		for range 2 {
			if s := w.prov.View().Devices[0].State; s != "quarantined" {
				t.Errorf("the device is %s", s)
			}
			until(t, "the device is still offered", func() bool {
				o := w.cust.Book.Offers()
				return len(o) == 0 ||
					len(o[0].Groups) == 0
			})
			w.stopProv()
			w.startProvider(t)
			until(t, "the rig does not sell", func() bool { return w.prov.View().Selling })
		}
		if v := w.await(t, w.place(t, request("two")), over); v.Code != market.CodeNoOfferFits {
			t.Errorf("the next order ended as %s: %s", v.Code, v.Detail)
		}
	})
}
