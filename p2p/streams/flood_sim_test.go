package streams

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// attacked runs a rig with a customer whose voucher session is open, lets attack loose, and then has a newcomer ask for
// a Quote: the session lives on, the newcomer is served, and memory is bounded.
func attacked(t *testing.T, attackers int, refused bool,
	attack func(ctx context.Context, s *Service, rig market.NodeID)) {
	t.Helper()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
		log := slog.New(slog.DiscardHandler)
		rig := n.Start(t, p2p.Config{Key: p2ptest.Key(1), Roles: []string{"provider"}})
		New(rig, Handlers{Quoter: &fakeProvider{}, Leaser: &fakeProvider{}, Vouchers: &fakeProvider{deals: true}}, log)
		peer := func(seed byte) *Service {
			h := n.Start(t, p2p.Config{Key: p2ptest.Key(seed)})
			if err := h.Connect(t.Context(), rig.ID(), rig.Addrs()); err != nil {
				t.Fatal(err)
			}
			return New(h, Handlers{}, log)
		}
		customer := peer(2)
		session, err := customer.Vouchers(t.Context(), rig.ID())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = session.Close() }()
		before := heap()
		ctx, stop := context.WithCancel(t.Context())
		var attacks sync.WaitGroup
		for i := range byte(attackers) {
			s := peer(100 + i)
			attacks.Go(func() { attack(ctx, s, rig.ID()) })
		}
		time.Sleep(10 * time.Second)
		if more := heap() - before; more > 64<<20 {
			t.Errorf("%d MB more", more>>20)
		}
		for range 3 {
			began := time.Now()
			if _, err := peer(50).Quote(t.Context(), rig.ID(), rig.Addrs(), []byte("order")); err != nil {
				t.Errorf("a newcomer is not served: %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("a newcomer waits for %s", took)
			}
			time.Sleep(time.Second)
		}
		rctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := session.Recv(rctx); rctx.Err() == nil {
			t.Errorf("the customer's session has ended: %v", err)
		}
		stop()
		attacks.Wait()
		counts := rig.Counts()
		if refused && counts[p2p.Count{Of: p2p.CountRefusals, Label: string(market.CodeRateLimited)}] == 0 {
			t.Errorf("nothing was refused: %v", counts)
		}
	})
}

// TestSlowloris: peers that hold as many streams as they may and send a byte now and then keep nobody else away.
func TestSlowloris(t *testing.T) {
	if testing.Short() {
		t.Skip("an attack: run without -short")
	}
	attacked(t, 6, false, func(ctx context.Context, s *Service, rig market.NodeID) {
		for ctx.Err() == nil {
			var held sync.WaitGroup
			for _, name := range []string{"quote", "lease", "voucher"} {
				for range 10 {
					st, err := s.host.Open(ctx, rig, nil, name)
					if err != nil {
						break
					}
					held.Go(func() {
						defer func() { _ = st.Reset() }()
						for _, b := range binary.AppendUvarint(nil, 8000) {
							if _, err := st.Write([]byte{b}); err != nil {
								return
							}
							select {
							case <-ctx.Done():
								return
							case <-time.After(3 * time.Second):
							}
						}
					})
				}
			}
			held.Wait()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
}

// TestStreamFlood: peers that open streams as fast as they can are cut to their rate.
func TestStreamFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("an attack: run without -short")
	}
	attacked(t, 4, true, func(ctx context.Context, s *Service, rig market.NodeID) {
		for ctx.Err() == nil {
			for range 25 {
				for _, name := range []string{"quote", "lease", "voucher"} {
					st, err := s.host.Open(ctx, rig, nil, name)
					if err != nil {
						continue
					}
					_, _ = st.Write([]byte{1}) // the protocol goes with the first byte
					_ = st.CloseWrite()
					_, _ = io.ReadAll(st) // until it is reset
					_ = st.Reset()
				}
			}
		}
	})
}

// TestOrderFlood: peers that ask for Quotes all the time are cut to their rate, and their answers cost others nothing.
func TestOrderFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("an attack: run without -short")
	}
	attacked(t, 4, true, func(ctx context.Context, s *Service, rig market.NodeID) {
		for ctx.Err() == nil {
			var asks sync.WaitGroup
			for range 50 {
				asks.Go(func() {
					_, _ = s.Quote(ctx, rig, nil, []byte("order")) // what it is told is the newcomer's test
				})
			}
			asks.Wait()
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
}
