package health

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/p2p/dht"
)

// TestDoctor_Standing: what the upkeep and the self-probe say becomes a code.
func TestDoctor_Standing(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]Net{
		"net-isolated":              {Peers: 1, Isolated: true, Stale: true},
		"gossip-stale":              {Peers: 1, Stale: true},
		"offer-unseen":              {Peers: 1, Seen: dht.Seen{Held: 1, Asked: 20, Unseen: true}},
		"gossip-stale offer-unseen": {Peers: 1, Stale: true, Seen: dht.Seen{Asked: 20, Unseen: true}},
		"":                          {Peers: 1, Seen: dht.Seen{Asked: 20, Misses: 1}},
	} {
		var cfg config.Config
		cfg.Node.Network = "localnet"
		got := codes(Check(t.Context(), Input{Config: cfg, Only: []string{"net"}, Net: &n}))
		if strings.Join(got, " ") != want {
			t.Errorf("%+v: %q, want %q", n, got, want)
		}
	}
}

func TestDoctor_UDPBuffers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, out int
		err     error
		want    market.Code
		known   bool
	}{
		"Debian's own":   {212_992, 212_992, nil, market.CodeUDPBufferSmall, true},
		"one is small":   {7_500_000, 7_499_999, nil, market.CodeUDPBufferSmall, true},
		"large enough":   {7_500_000, 7_500_000, nil, "", true},
		"another system": {0, 0, errors.New("no such file"), "", false},
	} {
		f, known := udpBuffers(func(name string) (int, error) {
			return map[string]int{"rmem_max": c.in, "wmem_max": c.out}[name], c.err
		})
		if f.Code != c.want || known != c.known {
			t.Errorf("%s: %+v, %v", name, f, known)
		}
	}
}

// TestWatch_Look: a turn of the network is seen at once, not at the next hour.
func TestWatch_Look(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		w := NewWatch(func() Input { looks++; return Input{Only: []string{"none"}} })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			if err := w.Serve(ctx, nil); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute)
		w.Look()
		synctest.Wait()
		if looks != 2 {
			t.Errorf("%d looks, want one at the start and one when asked", looks)
		}
	})
}
