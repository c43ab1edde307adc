//go:build integration

package itest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// place posts orders all at once and returns their ids.
func (p *proc) place(t *testing.T, orders []api.OrderRequest) []string {
	t.Helper()
	ids := make([]string, len(orders))
	var wg sync.WaitGroup
	for i, r := range orders {
		wg.Go(func() {
			o, err := p.api.CreateOrder(context.Background(), r)
			if err != nil {
				t.Error(err)
			}
			ids[i] = o.ID
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return ids
}

// completed fails unless the order ended well, with what it paid and what came back.
func (p *proc) completed(t *testing.T, id string) api.Order {
	t.Helper()
	var o api.Order
	wait(t, "an order is not over", 150*time.Second, func() bool {
		var err error
		o, err = p.api.Order(context.Background(), id)
		return err == nil && o.Ended()
	})
	if o.Code != market.CodeCompleted {
		t.Errorf("order %s: %s %s %s; %+v", id, o.Standing, o.Code, o.Detail, o.Steps)
	}
	return o
}

// idle waits until no channel holds money any more, and returns how many there were.
func (p *proc) idle(t *testing.T) int {
	t.Helper()
	n := 0
	wait(t, "a channel keeps its money", 90*time.Second, func() bool {
		list, err := p.api.Channels(context.Background())
		if err != nil {
			return false
		}
		n = len(list)
		for _, c := range list {
			if c.State != "sealed" && c.State != "gone" && c.State != "paid-out" {
				return false
			}
		}
		return true
	})
	return n
}

// TestPlacing_TwiceAsManyOrdersAsDevices: small jobs at once on the real engine. All end well, on a few channels, and
// no money stays.
func TestPlacing_TwiceAsManyOrdersAsDevices(t *testing.T) {
	const devices = 8
	r := newRig(t)
	r.provider(t, devices)
	c := r.buyer(t)
	var orders []api.OrderRequest
	for i := range 2 * devices {
		orders = append(orders, r.order(fmt.Sprint("small-", i), "sleep=1s"))
	}
	ids := c.place(t, orders)
	for _, id := range ids {
		c.completed(t, id)
	}
	if n := c.idle(t); n > 3 {
		t.Errorf("%d channels for %d orders", n, len(ids))
	}
}

// TestPlacing_KilledInEachPhase kills one side while an order is placed and starts it again: the order goes on and ends
// well.
func TestPlacing_KilledInEachPhase(t *testing.T) {
	r := newRig(t)
	p := r.seller(t)
	c := r.buyer(t)
	// then it is no stranger, who has one lease at a time
	c.completed(t, c.place(t, []api.OrderRequest{r.order("first", "sleep=1s")})[0])
	phases := map[string]func(o api.Order) bool{
		"searching": func(o api.Order) bool { return true },
		"funding":   func(o api.Order) bool { return o.Standing == "funding" || o.State != "" },
		"leased":    func(o api.Order) bool { return o.State != "" },
	}
	for side, victim := range map[string]*proc{"customer": c, "provider": p} {
		for phase, there := range phases {
			t.Run(side+" "+phase, func(t *testing.T) {
				id := c.place(t, []api.OrderRequest{r.order(side+phase, "sleep=1s")})[0]
				wait(t, "the order is not "+phase, time.Minute, func() bool {
					o, err := c.api.Order(context.Background(), id)
					return err == nil && (there(o) || o.Ended())
				})
				victim.kill(t)
				victim.start(t)
				c.completed(t, id)
			})
		}
	}
	c.idle(t)
}

// TestStart_FreshNode_HasTheOfferOfAnIdleRig: each new node has it within 10 s, also on a machine that is busy.
func TestStart_FreshNode_HasTheOfferOfAnIdleRig(t *testing.T) {
	r := newRig(t)
	r.seller(t)
	first := newProc(t, r, "customer")
	first.sees(t)
	stop := make(chan struct{})
	var busy sync.WaitGroup
	defer busy.Wait()
	defer close(stop)
	for range 2 {
		busy.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 5 {
		c := newProc(t, r, "customer")
		wait(t, fmt.Sprintf("start %d: the offer is not here", i), 10*time.Second, func() bool {
			s, err := c.api.Status(context.Background())
			return err == nil && s.Offers == 1
		})
		c.kill(t)
	}
}
