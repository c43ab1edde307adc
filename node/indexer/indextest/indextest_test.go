package indextest_test

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
	"github.com/gpuai/gpuai/node/indexer/indextest"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/p2p/wire"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Run(m)) }

const network = "localnet"

var now = time.Date(2026, 11, 30, 12, 34, 56, 0, time.UTC)

// read answers a path of the public API.
func read[T any](t *testing.T, d *db.DB, path string) (v T) {
	t.Helper()
	m := public.New(public.Config{Index: d, Network: network, Since: now.AddDate(0, 0, -30)},
		slog.New(slog.DiscardHandler))
	defer m.Close()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", public.Base+path, nil))
	if w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestFill: each page has something to show of a story, the documents verify, and both databases tell the same.
func TestFill(t *testing.T) {
	t.Parallel()
	dbtest.Both(t, func(t *testing.T, d *db.DB, _ string) {
		s, err := indextest.Fill(t.Context(), d, network, now)
		if err != nil {
			t.Fatal(err)
		}
		sum := read[public.Summary](t, d, "/summary")
		if sum.GPUs.Announced.Value < 100 || sum.GPUs.Reachable.Value == 0 || sum.Jobs.Value < 5 ||
			len(sum.Paid) != 1 ||
			len(sum.Leases) != 5 || len(sum.Models) != 8 {
			t.Errorf("summary %+v", sum)
		}
		l := read[public.LeasePage](t, d, "/leases/"+s.Lease)
		if l.Settled == nil || !*l.Settled || len(l.Transactions) < 5 || len(l.Timeline) < 6 ||
			l.Provider != s.Provider {
			t.Errorf("lease %+v", l)
		}
		pair, err := wire.JoinOutcomes(l.Documents[0].Envelope, l.Documents[1].Envelope, network)
		if err != nil || pair.Verify(network) != nil || pair.Outcome.Lease.String() != s.Lease {
			t.Errorf("its documents: %v", err)
		}
		if w := read[public.LeasePage](t, d, "/leases/"+s.Waiting); w.Settled == nil || *w.Settled {
			t.Errorf("a lease that waits: %+v", w.Lease)
		}
		raw := read[public.RawOffer](t, d, "/offers/"+s.Provider+"/raw")
		if e, err := wire.Parse(raw.Envelope, network); err != nil || e.Verify(network) != nil {
			t.Errorf("offer: %v", err)
		}
		p := read[public.ProviderPage](t, d, "/providers/"+s.Provider)
		if len(p.Uptime) != 90 || len(p.Ends) < 2 || len(p.Offers) == 0 || !p.Live {
			t.Errorf("provider %+v", p)
		}
		b := read[public.Depth](t, d, "/book/"+s.Model)
		if len(b.Bids) < 3 || len(b.Asks) < 3 || b.Spread == nil {
			t.Errorf("book %+v", b)
		}
		c := read[public.ClearedPrices](t, d, "/gpus/"+s.Model+"/cleared")
		m := read[public.ModelPage](t, d, "/gpus/"+s.Model)
		if len(c.Points) < 100 || !c.Points[0].Closed || m.Cleared == nil || m.Wanted.Value == 0 ||
			m.Utilisation == nil {
			t.Errorf("%d hours, model %+v", len(c.Points), m)
		}
		gone := read[public.ChannelPage](t, d, "/channels/"+s.Channel)
		closing := read[public.ChannelPage](t, d, "/channels/"+s.Closing)
		if gone.Status != "gone" || len(gone.Instructions) < 5 || closing.Status != "closing" ||
			closing.Deadline.IsZero() {
			t.Errorf("channels %+v %+v", gone, closing)
		}
		if w := read[public.Channels](t, d, "/wallets/"+s.Payer); len(w.Channels) < 2 || len(w.Sums) != 1 ||
			w.Sums[0].Side != "payer" || w.Sums[0].N != int64(len(w.Channels)) || w.Sums[0].Returns.Amount == "" {
			t.Errorf("wallet %+v", w)
		}
		if n := read[public.Network](t, d, "/network"); n.Gossip == nil || len(n.Versions) != 2 ||
			len(n.Countries) < 3 {
			t.Errorf("network %+v", n)
		}
	})
}
