package indexer

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/p2p/wire"
)

const network = "localnet"

// signed is an Offer of the n-th rig as gossip brings it.
func signed(t *testing.T, n byte, change func(*market.Offer)) (market.Offer, []byte) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
	o := market.Offer{
		Seq: uint64(time.Now().UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}},
		Payout:  market.Address{n},
		Version: "0.1.0", Reach: []string{"/ip4/10.0.0.7/udp/4801/quic-v1"},
		Fields: market.Fields{market.FieldCountry: 'D'<<8 | 'E', market.FieldRAM: 1024, market.FieldCPU: 8000},
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{n}, {n, 1}}, Free: 1, Class: "rtx-4090",
			Name: "NVIDIA RTX 4090", Fields: market.Fields{market.FieldVRAM: 24 << 10}, Rates: []market.Rate{5000}}},
	}
	if change != nil {
		change(&o)
	}
	raw, err := wire.SealOffer(key, network, o)
	if err != nil {
		t.Fatal(err)
	}
	o, _, err = wire.OpenOffer(raw, network)
	if err != nil {
		t.Fatal(err)
	}
	return o, raw
}

// TestRowOf: what is signed comes into the row, addresses do not, and the signature holds without them.
func TestRowOf(t *testing.T) {
	t.Parallel()
	o, raw := signed(t, 1, nil)
	r, refused := rows.Offer(o, raw)
	if refused != 0 || r.Devices != 2 || r.Free != 1 || r.Country != "DE" || len(r.Lots) != 1 ||
		r.Lots[0].VRAM != 24<<30 || r.Lots[0].RAM != 1<<30 || r.Lots[0].Rate != 5000 ||
		r.Lots[0].Mint != public.SOLMint {
		t.Errorf("%+v, %d refused", r, refused)
	}
	e, err := wire.Parse(r.Raw, network)
	if err != nil || len(e.Reach) != 0 || e.Verify(network) != nil || len(r.Raw) >= len(raw) {
		t.Errorf("%v: %+v", err, e)
	}
}

// TestRowOf_AbsurdFigures: sizes that no rig has are left out and counted; no figure wraps around.
func TestRowOf_AbsurdFigures(t *testing.T) {
	t.Parallel()
	o, raw := signed(t, 1, func(o *market.Offer) {
		o.Fields[market.FieldRAM], o.Fields[market.FieldDisk] = 1<<63, 1<<44
		o.Fields[market.FieldCPU], o.Fields[market.FieldCountry] = 1<<64-1, 1<<40
		o.Groups[0].Fields[market.FieldVRAM] = 1<<64 - 1
		o.Groups[0].Rates = []market.Rate{0}
	})
	r, refused := rows.Offer(o, raw)
	l := r.Lots[0]
	if refused != 4 || l.RAM != 0 || l.Disk != 0 || l.CPUMilli != 0 || l.VRAM != 0 || l.Rate != 0 || r.Country != "" {
		t.Errorf("%d refused: %+v", refused, l)
	}
}

// TestRowOf_Mints: a group that is sold for two mints is there at both prices, and counts once.
func TestRowOf_Mints(t *testing.T) {
	t.Parallel()
	o, raw := signed(t, 1, func(o *market.Offer) {
		o.Mints = []market.Address{{}, {9}, {9}}
		o.Groups[0].Rates = []market.Rate{5000, 700, 800}
		o.Groups = append(o.Groups, o.Groups[0])
		o.Groups[1].Devices = []market.DeviceID{{7}}
		o.Groups[1].Rates = nil
	})
	r, _ := rows.Offer(o, raw)
	leads, heads := 0, 0
	for _, l := range r.Lots {
		if l.Lead {
			leads++
		}
		if l.Head {
			heads++
		}
	}
	if len(r.Lots) != 3 || leads != 2 || heads != 1 || r.Lots[1].Rate != 700 {
		t.Errorf("%d leads, %d heads: %+v", leads, heads, r.Lots)
	}
}

// phone is a Dialer that knows who answers.
type phone struct {
	mu      sync.Mutex
	answers map[market.NodeID]bool
	calls   map[market.NodeID]int
}

func (p *phone) Ping(_ context.Context, id market.NodeID, _ []string) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[id]++
	if !p.answers[id] {
		return 0, errors.New("no answer")
	}
	return time.Millisecond, nil
}

func (p *phone) Reach(market.NodeID) []string { return []string{"/ip4/10.0.0.7/udp/4801/quic-v1"} }

// TestServe_OfferToPage: an Offer that is heard is written, its rig dialled once, and the page shows both. A second
// start finds it, one with another ledger begins anew.
func TestServe_OfferToPage(t *testing.T) {
	t.Parallel()
	good, raw := signed(t, 1, nil)
	silent, raw2 := signed(t, 2, nil)
	p := &phone{answers: map[market.NodeID]bool{good.Provider: true}, calls: map[market.NodeID]int{}}
	cfg := Config{Network: network, Genesis: "g1", Store: filepath.Join(t.TempDir(), "index.db"), Listen: "127.0.0.1:0"}
	run := func(cfg Config, f func(x *Indexer)) {
		t.Helper()
		x, err := New(t.Context(), cfg, p, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := x.Serve(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		select {
		case <-x.Loaded():
			f(x)
		case <-time.After(time.Minute):
			t.Error("it is not loaded")
		}
		stop()
		wg.Wait()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	shows := func(x *Indexer, announced, reachable int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; {
			changed := x.index.EventsChanged()
			resp, err := http.Get("http://" + x.Address() + public.Base + "/summary")
			if err != nil {
				t.Fatal(err)
			}
			var s public.Summary
			err = json.NewDecoder(resp.Body).Decode(&s)
			_ = resp.Body.Close() // it was read
			if err != nil {
				t.Fatal(err)
			}
			if s.GPUs.Announced.Value == announced && s.GPUs.Reachable.Value == reachable {
				return
			}
			select {
			case <-changed:
			case <-time.After(time.Until(end)):
				t.Fatalf("it shows %+v", s)
			}
		}
	}
	run(cfg, func(x *Indexer) {
		x.Offer(good, raw)
		x.Offer(good, raw)
		x.Offer(silent, raw2)
		shows(x, 4, 2)
	})
	if p.calls[good.Provider] != 1 || p.calls[silent.Provider] != 1 {
		t.Errorf("calls %v", p.calls)
	}
	run(cfg, func(x *Indexer) { shows(x, 4, 2) })
	cfg.Genesis = "g2"
	run(cfg, func(x *Indexer) { shows(x, 0, 0) })
}
