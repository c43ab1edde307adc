//go:build integration

package itest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// hung is an endpoint in front of the ledger that can stop to answer.
func hung(t *testing.T, to string) (url string, off *atomic.Bool) {
	off = new(atomic.Bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if off.Load() {
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
			return
		}
		resp, err := http.Post(to, "application/json", bytes.NewReader(body))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	return s.URL, off
}

// TestLedgerAway_BothRestart_JobRunsAndIsPaid restarts both nodes while no endpoint answers and a job runs: the
// container is adopted, billed and paid by vouchers; list, logs, exec and stop work; once the endpoint is back
// everything is settled to the unit.
//
//nolint:funlen // one story
func TestLedgerAway_BothRestart_JobRunsAndIsPaid(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	url, off := hung(t, r.srv.RPC)
	const key = "/v2/HUNG-SECRET-KEY"
	p := newProc(t, r, "provider", "provider.payout="+r.payout.String(), "provider.rate=1/h", "provider.tick=2s",
		"provider.hold=1m", "solana.rpc="+url+key,
		"provider.simulate_gpu=rtx-4090:1", "provider.docker_host="+r.docker, "provider.allow_weak_runtime=true",
		"provider.egress=none")
	c := newProc(t, r, "customer", "solana.rpc="+url+key)
	ctx := context.Background()
	if _, err := c.api.Airdrop(ctx, 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	wait(t, "the offer is not seen", 60*time.Second, func() bool {
		o, err := c.api.Offers(ctx, market.Sort{})
		return err == nil &&
			len(o) > 0
	})
	const mark = "echo=ledger-away"
	o, err := c.api.CreateOrder(ctx, r.order("away", mark, "sleep=10m"))
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
	off.Store(true)
	p.kill(t)
	c.kill(t)
	c.start(t)
	p.start(t)
	billed := show().BillableMS
	wait(t, "the job is not billed while the ledger is away", 60*time.Second,
		func() bool { v := show(); return v.State == "running" && v.BillableMS > billed+5000 })
	if after := r.jobs(t, mark); before == "" || after != before {
		t.Errorf("the container was %q and is %q", before, after)
	}
	if list, err := c.api.Orders(ctx, api.OrderQuery{}); err != nil || len(list) != 1 {
		t.Errorf("%d orders are listed (%v)", len(list), err)
	}
	var log strings.Builder
	_, err = c.api.Logs(ctx, o.ID, api.LogQuery{}, func(p api.LogPiece) error { log.Write(p.Data); return nil })
	if err != nil || !strings.Contains(log.String(), "ledger-away") {
		t.Errorf("log %q (%v)", log.String(), err)
	}
	if w, err := c.api.Wallet(ctx); market.CodeOf(err) != market.CodeChainUnreachable ||
		strings.Contains(err.Error(), "SECRET") {
		t.Errorf("wallet without a ledger: %+v, %v", w, err)
	}
	if err := c.api.StopOrder(ctx, o.ID, false); err != nil {
		t.Errorf("stop: %v", err)
	}
	wait(t, "the job does not end while the ledger is away", 60*time.Second,
		func() bool { return r.jobs(t, mark) == "" })
	off.Store(false)
	var end api.Order
	wait(t, "the money does not come back", 150*time.Second,
		func() bool { end = show(); return end.Ended() && end.Finished })
	if end.Code != market.CodeStopped || end.Owed != end.Paid ||
		end.Paid.Lamports()+end.Returned.Lamports() != end.Deposit.Lamports() || end.Paid.Lamports() == 0 {
		t.Errorf("%s %s: owed %s, paid %s, returned %s of %s; %+v", end.Code, end.Detail, end.Owed, end.Paid,
			end.Returned, end.Deposit, end.Steps)
	}
	for _, node := range []*proc{p, c} {
		b, err := os.ReadFile(node.log)
		if err != nil || bytes.Contains(b, []byte("SECRET")) {
			t.Errorf("the log shows the endpoint's key (%v)", err)
		}
	}
}
