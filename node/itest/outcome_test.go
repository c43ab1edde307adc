//go:build integration

package itest

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestOutcome_FromDockerToTheIndex: a lease of real containers, paid on the real program, is at an indexer that had no
// part in it: what the chain says of its channel, and what both sides signed. One that its customer wants private is
// on the chain alone, and nothing of either job is anywhere in the index.
func TestOutcome_FromDockerToTheIndex(t *testing.T) {
	r := newRig(t)
	r.provider(t, 1)
	ix := start(t, "indexer", r.srv, func(c *config.Config) {
		c.Node.Roles, c.P2P.Bootstrap = []string{config.RoleIndexer}, r.boot.Addrs()
		c.Indexer.Listen, c.Indexer.Store = "127.0.0.1:0", filepath.Join(c.Node.DataDir, "index.db")
	})
	x, err := node.Guest[node.Index](ix, config.RoleIndexer)
	if err != nil {
		t.Fatal(err)
	}
	base := x.URL() + public.Base
	c := r.customer(t).Customer()
	hidden, shown := r.told(t, c, "hidden", spec.OutcomePrivate), r.told(t, c, "shown", "")
	for _, v := range []customer.View{hidden, shown} {
		chainAgrees(t, base, v)
	}
	var l public.LeasePage
	var body string
	wait(t, "the lease is not in the index, or not settled", time.Minute, func() bool {
		l = public.LeasePage{}
		var code int
		code, body = get(t, base+"/leases/"+shown.Lease.ID.String(), &l)
		return code == http.StatusOK && l.Settled != nil && *l.Settled
	})
	var prices public.ClearedPrices
	wait(t, "the lease makes no price", time.Minute, func() bool {
		prices = public.ClearedPrices{}
		get(t, base+"/gpus/rtx-4090/cleared", &prices)
		return prices.N > 0
	})
	if p := prices.Points[0]; p.Price.Lamports() != l.Rate.Lamports() || p.Pairs != 1 || p.Waiting != 0 {
		t.Errorf("%+v, the lease's rate is %s", prices, l.Rate)
	}
	if l.Slug != "rtx-4090" || l.Amount.Lamports() != shown.Paid || l.Devices != 1 || l.Code != "completed" ||
		l.Channel != shown.Channel.String() || l.Payee != r.payout.String() || len(l.Documents) != 2 ||
		!slices.Equal(l.SignedBy, []string{"provider", "customer"}) {
		t.Fatalf("the index says %+v, paid %d", l, shown.Paid)
	}
	pair, err := wire.JoinOutcomes(l.Documents[0].Envelope, l.Documents[1].Envelope, network)
	if err == nil {
		err = pair.Verify(network)
	}
	if err != nil || pair.Outcome.Lease != shown.Lease.ID {
		t.Errorf("the two documents: %v, of %s", err, pair.Outcome.Lease)
	}
	var list public.Leases
	_, all := get(t, base+"/leases", &list)
	if len(list.Leases) != 1 || strings.Contains(all, hidden.Lease.ID.String()) {
		t.Errorf("the index lists %d leases: %s", len(list.Leases), all)
	}
	for _, word := range []string{"secret-word", "secret-label", "testjob"} {
		if strings.Contains(body, word) || strings.Contains(all, word) {
			t.Errorf("%q of the job is public", word)
		}
	}
}

// told runs a job to its end, its money home, with words that nobody else may read.
func (r *rig) told(t *testing.T, c *customer.Customer, key, outcome string) (v customer.View) {
	t.Helper()
	req := r.request(key, "echo=secret-word", "sleep=3s")
	req.File.Labels, req.File.Outcome = map[string]string{"project": "secret-label"}, outcome
	id, err := c.Place(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the order is not over", 2*time.Minute, func() bool {
		v, err = c.Order(id.String())
		return err == nil && v.Finished
	})
	if v.Code != market.CodeCompleted || !v.BothSigned || v.Paid == 0 {
		t.Fatalf("%s: %s %s, signed by both %v, paid %d", key, v.Code, v.Detail, v.BothSigned, v.Paid)
	}
	return v
}

// chainAgrees waits until an order's channel has ended in the index, and compares it with the order.
func chainAgrees(t *testing.T, base string, v customer.View) {
	t.Helper()
	var ch public.ChannelPage
	wait(t, "the channel's end is not in the index", time.Minute, func() bool {
		ch = public.ChannelPage{}
		code, _ := get(t, base+"/channels/"+v.Channel.String(), &ch)
		return code == http.StatusOK && ch.Paid.Lamports()+ch.Refunded.Lamports() == ch.Deposit.Lamports()
	})
	if ch.Deposit.Lamports() != v.Deposit || ch.Paid.Lamports() != v.Paid || ch.Refunded.Lamports() != v.Returned {
		t.Errorf("the index says %s, %s, %s; the order %d, %d, %d", ch.Deposit, ch.Paid, ch.Refunded, v.Deposit, v.Paid,
			v.Returned)
	}
}

// get asks for a document, and returns its text, too.
func get(t *testing.T, url string, out any) (code int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // of this test's own listener
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
