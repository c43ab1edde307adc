package streams

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// TestSim_VoucherSession_OfNobodysLease_Ends: pings alone hold a session only for a customer with a lease.
func TestSim_VoucherSession_OfNobodysLease_Ends(t *testing.T) {
	t.Parallel()
	for name, deals := range map[string]bool{"stranger": false, "customer": true} {
		t.Run(name, func(t *testing.T) {
			p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, n *p2ptest.Net) {
				ph, ch := n.Start(t, p2p.Config{Key: p2ptest.Key(1)}), n.Start(t, p2p.Config{Key: p2ptest.Key(2)})
				f, log := &fakeProvider{deals: deals}, slog.New(slog.DiscardHandler)
				New(ph, Handlers{Vouchers: f}, log)
				if err := ch.Connect(t.Context(), ph.ID(), ph.Addrs()); err != nil {
					t.Fatal(err)
				}
				s, err := New(ch, Handlers{}, log).Vouchers(t.Context(), ph.ID())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				began := time.Now()
				_, err = s.Recv(ctx)
				if lived := time.Since(began); deals != (ctx.Err() != nil) || !deals && lived > 2*strangerTime {
					t.Errorf("lived for %s: %v", lived, err)
				}
			})
		})
	}
}
