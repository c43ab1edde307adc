package health

import (
	"context"
	"crypto/ed25519"
	"strings"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/p2p"
)

// meetingPoint is a node that listens at one address; what comes back ends in its id.
func meetingPoint(t *testing.T, listen string) (addr string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.New(p2p.Config{Network: "localnet-doctor", Key: key, Listen: []string{listen}, Infra: true}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		if err := h.Serve(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	<-h.Ready()
	return h.FullAddrs()[0]
}

func TestDoctor_MeetingPoints(t *testing.T) {
	t.Parallel()
	udp, tcp := meetingPoint(t, "/ip4/127.0.0.1/udp/0/quic-v1"), meetingPoint(t, "/ip4/127.0.0.1/tcp/0")
	_, id, _ := strings.Cut(tcp, "/p2p/")
	const nobody = "/ip4/127.0.0.1/udp/1/quic-v1/p2p/"
	for name, c := range map[string]struct {
		network   string
		bootstrap []string
		want      market.Code
	}{
		"no meeting point": {"localnet-doctor", nil, market.CodeNetIsolated},
		"nobody there":     {"localnet-doctor", []string{nobody + id}, market.CodeNetIsolated},
		"udp answers":      {"localnet-doctor", []string{udp}, ""},
		"both answer":      {"localnet-doctor", []string{udp, tcp}, ""},
		"only tcp answers": {"localnet-doctor", []string{nobody + id, tcp}, market.CodeUDPBlocked},
		"unknown network":  {"elsewhere", nil, market.CodeNetIsolated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a silent meeting point is waited for
			var cfg config.Config
			cfg.Node.Network, cfg.P2P.Bootstrap = c.network, c.bootstrap
			in := Input{Config: cfg, Only: []string{"net"}}
			got := Check(t.Context(), in)
			// a loaded machine may not connect in time
			for try := 0; try < 10 && (len(got) != 1 || got[0].Code != c.want); try++ {
				got = Check(t.Context(), in)
			}
			if len(got) != 1 || got[0].Code != c.want || got[0].Group != "net" {
				t.Errorf("found %+v, want %q", got, c.want)
			}
			if in.Offline = true; len(Check(t.Context(), in)) != 0 {
				t.Error("offline asks the network")
			}
		})
	}
}

func TestDoctor_RunningNode(t *testing.T) {
	t.Parallel()
	const direct, relayed = "/ip4/1.2.3.4/udp/4801/quic-v1", "/ip4/1.2.3.4/udp/4801/quic-v1/p2p/x/p2p-circuit"
	for name, c := range map[string]struct {
		network string
		net     Net
		want    string
	}{
		"nobody":       {"devnet", Net{Addrs: []string{direct}}, "net-isolated"},
		"direct":       {"devnet", Net{Peers: 1, Addrs: []string{relayed, direct}}, ""},
		"relayed":      {"devnet", Net{Peers: 1, Addrs: []string{relayed}}, "relay-only"},
		"carrier":      {"devnet", Net{Peers: 1, Carrier: true, Addrs: []string{relayed}}, "carrier-nat"},
		"carrier, v6":  {"devnet", Net{Peers: 1, Carrier: true, Addrs: []string{relayed, direct}}, ""},
		"no address":   {"devnet", Net{Peers: 1}, "unreachable"},
		"this machine": {"localnet", Net{Peers: 1}, ""},
		"split anew":   {"localnet", Net{Peers: 1, Newer: 4}, "epoch-old"},
	} {
		var cfg config.Config
		cfg.Node.Network = c.network
		got := codes(Check(t.Context(), Input{Config: cfg, Only: []string{"net"}, Net: &c.net}))
		if strings.Trim(strings.Join(got, " "), " ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
