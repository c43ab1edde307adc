//go:build integration

package itest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/runtime/runtimetest"
)

func over(v customer.View) bool {
	return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
}

// TestFaults_BeforeTheJobRuns_CostNothing: an image that does not exist, one that drips, and a command that cannot
// start end unpaid, each with its own code and within its time; the devices are free again.
func TestFaults_BeforeTheJobRuns_CostNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.provider(t, 3)
	n := r.customer(t)
	slow := runtimetest.StartRegistry(t)
	// A layer of its own: the engine would join a pull of the same layer from the good registry to this one.
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	dripped, err := slow.Push("gpuai/drip", map[string][]byte{"noise": noise},
		runtimetest.ImageConfig{Entrypoint: []string{"/noise"}})
	if err != nil {
		t.Fatal(err)
	}
	slow.SetFaults(runtimetest.Faults{Drip: 2_000})

	missing := r.request("missing")
	missing.Image.Manifest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	drip := r.request("drip")
	drip.Image = dripped
	command := r.request("command")
	command.File.Command = []string{"/no/such/command"}
	began := time.Now()
	for _, req := range []customer.Request{drip, missing, command} {
		if _, err := n.Customer().Place(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	for code, req := range map[market.Code]customer.Request{market.CodeImageNotFound: missing,
		market.CodeStartCommand: command,
		market.CodeImageStalled: drip} {
		var v customer.View
		wait(t, string(code)+" does not end", 150*time.Second, func() bool {
			var err error
			if v, err = n.Customer().Order(customer.OrderIDOf(n.Customer().ID(), req.Key).String()); err != nil {
				t.Fatal(err)
			}
			return over(v) && (v.Finished || v.RefundLater)
		})
		if v.Code != code || v.Paid != 0 || v.Lease.Claim != 0 {
			t.Errorf("%s: %s %s after %s, claim %d, paid %d: %+v", code, v.Code, v.Detail, time.Since(began),
				v.Lease.Claim, v.Paid, v.Steps)
		}
	}
	if b, err := n.Spending().Balance(t.Context(), r.payout); err != nil || b != 0 {
		t.Errorf("the payout got %d (%v)", b, err)
	}
	var returned, deposit market.Amount
	for _, ch := range n.Customer().Channels() {
		returned, deposit = returned+ch.Returned, deposit+ch.Account.Seen
	}
	if returned != deposit || deposit == 0 {
		t.Errorf("%d of %d came back", returned, deposit)
	}
	wait(t, "the devices are not free again", 30*time.Second, func() bool {
		o := n.Customer().Book.Offers()
		return len(o) == 1 && len(o[0].Groups) > 0 && o[0].Groups[0].Free == 7
	})
}

// TestKill_Provider_AdoptsItsContainer kills the provider's process in the middle of a job and starts it again: the
// container runs on, is adopted, and nothing is billed twice.
func TestKill_Provider_AdoptsItsContainer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := newProc(t, r, "provider", "provider.payout="+r.payout.String(), "provider.rate=1/h", "provider.tick=2s",
		"provider.hold=1m",
		"provider.simulate_gpu=rtx-4090:1", "provider.docker_host="+r.docker, "provider.allow_weak_runtime=true",
		"provider.egress=none")
	n := r.customer(t)
	const mark = "echo=adopt-me"
	id, err := n.Customer().Place(t.Context(), r.request("adopt", mark, "sleep=20s"))
	if err != nil {
		t.Fatal(err)
	}
	view := func() customer.View {
		v, err := n.Customer().Order(id.String())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	wait(t, "the job does not run", 60*time.Second, func() bool {
		v := view()
		return v.Lease != nil && v.Lease.State == market.Running && v.Lease.ClaimMS > 3000
	})
	before := r.jobs(t, mark)
	p.kill(t)
	time.Sleep(3 * time.Second) // the outage itself: the job runs on, unseen
	p.start(t)
	wait(t, "the job is not billed again", 60*time.Second,
		func() bool { v := view(); return v.Lease.State == market.Running && v.Lease.ClaimMS > 5000 || over(v) })
	if after := r.jobs(t, mark); before == "" || after != before {
		t.Errorf("the container was %q and is %q", before, after)
	}
	wait(t, "the order is not over", 90*time.Second, func() bool { return over(view()) })
	v := view()
	if v.Code != market.CodeCompleted || v.Paid != v.Lease.Claim || v.Paid+v.Returned != v.Deposit {
		t.Errorf("%s %s: claim %d, paid %d, returned %d of %d; %+v", v.Code, v.Detail, v.Lease.Claim, v.Paid,
			v.Returned, v.Deposit, v.Steps)
	}
	// 20 s of work, less the outage but for one tick, and what the restart took
	if v.Lease.ClaimMS > 20_500 || v.Lease.ClaimMS < 12_000 {
		t.Errorf("billed %d ms of 20 s with an outage of at least 3 s", v.Lease.ClaimMS)
	}
	if b, err := n.Spending().Balance(t.Context(), r.payout); err != nil || b != v.Paid {
		t.Errorf("the payout got %d of %d (%v)", b, v.Paid, err)
	}
	wait(t, "the container stays", 30*time.Second, func() bool { return r.jobs(t, mark) == "" })
}

// TestKill_Customer_GoesOnAndPays kills the customer's process in the middle of a job: frozen before a tick is unpaid,
// the job goes on when it is back, and both agree to the unit.
func TestKill_Customer_GoesOnAndPays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	prov := r.provider(t, 1)
	c := newProc(t, r, "customer")
	ctx := context.Background()
	if _, err := c.api.Airdrop(ctx, 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	wait(t, "the offer is not seen", 60*time.Second, func() bool {
		o, err := c.api.Offers(ctx, market.Sort{})
		return err == nil &&
			len(o) > 0
	})
	const mark = "echo=pay-me"
	o, err := c.api.CreateOrder(ctx, r.order("kill", mark, "sleep=12s"))
	if err != nil {
		t.Fatal(err)
	}
	show := func() api.Order {
		v, err := c.api.Order(ctx, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	wait(t, "the job does not run", 60*time.Second, func() bool {
		v := show()
		return v.State == "running" &&
			v.BillableMS > 3000
	})
	before := r.jobs(t, mark)
	c.kill(t)
	time.Sleep(2 * tickOf) // the outage itself
	c.start(t)
	var end api.Order
	wait(t, "the order is not over", 90*time.Second, func() bool { end = show(); return end.Ended() && end.Finished })
	if end.Code != market.CodeCompleted || end.Owed != end.Paid ||
		end.Paid.Lamports()+end.Returned.Lamports() != end.Deposit.Lamports() {
		t.Errorf("%s %s: owed %s, paid %s, returned %s of %s; %+v", end.Code, end.Detail, end.Owed, end.Paid,
			end.Returned, end.Deposit, end.Steps)
	}
	if end.BillableMS > 12_500 || end.BillableMS < 5_000 {
		t.Errorf("billed %d ms of 12 s, which went on while the job was frozen", end.BillableMS)
	}
	if before == "" {
		t.Error("no container was seen")
	}
	if b, err := prov.Spending().Balance(ctx, r.payout); err != nil || b != end.Paid.Lamports() {
		t.Errorf("the payout got %d of %s (%v)", b, end.Paid, err)
	}
}
