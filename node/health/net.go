package health

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/dht"
)

// maxMeets bounds how many meeting points are asked.
const maxMeets = 8

// Net is what a running node knows of its place in the network.
type Net struct {
	Peers    int
	Addrs    []string // announced: what others are told to dial
	Carrier  bool     // its router's address is one of a carrier's NAT
	Isolated bool     // no direct peer for a minute
	Stale    bool     // peers are there, and no offer has come by gossip for far longer than usual
	Seen     dht.Seen // whether others find what this node has announced
	Newer    int      // shards of a later epoch that others spoke of; 0: none
}

// meet is one meeting point: a bootstrap node and its addresses.
type meet struct {
	id    market.NodeID
	addrs []string
}

// meetings reads multiaddresses ending in /p2p/ID; those of another transport than /via/ are left out.
func meetings(list []string, via string) (out []meet) {
	for _, s := range list {
		addr, text, ok := strings.Cut(s, "/p2p/")
		id, err := market.ParseNodeID(text)
		if !ok || err != nil || !strings.Contains(addr, "/"+via+"/") || len(out) >= maxMeets {
			continue
		}
		out = append(out, meet{id, []string{addr}})
	}
	return out
}

// network tells whether others can be found and, of a running node, whether they can reach it. Without a node it asks
// the meeting points itself, as a node that nobody knows: nothing is announced.
func network(ctx context.Context, in Input) []Finding {
	n, err := p2p.NetworkByName(in.Config.Node.Network)
	if err != nil {
		return []Finding{found(market.CodeNetIsolated, err.Error(), "gpuai config set node.network=localnet")}
	}
	if in.Net != nil {
		return running(in, n)
	}
	all := append(append([]string{}, n.Bootstrap...), in.Config.P2P.Bootstrap...)
	if in.Config.Open() != nil {
		return []Finding{found(market.CodeNetIsolated, config.NotOpen, config.OpenOne)}
	}
	if len(all) == 0 {
		return []Finding{found(market.CodeNetIsolated, n.Name+" has no meeting point of its own and none is set",
			"gpuai config set p2p.bootstrap=MULTIADDRESS")}
	}
	var udp, tcp int
	var wg sync.WaitGroup
	wg.Go(func() { udp = reached(ctx, in, meetings(all, "udp")) })
	wg.Go(func() { tcp = reached(ctx, in, meetings(all, "tcp")) })
	wg.Wait()
	switch {
	case udp+tcp == 0:
		return []Finding{found(market.CodeNetIsolated, fmt.Sprintf("none of %d meeting points answers", len(all)), "")}
	case udp == 0 && len(meetings(all, "udp")) > 0:
		return []Finding{found(market.CodeUDPBlocked, fmt.Sprintf("%d meeting points answer by TCP, none by UDP", tcp),
			"")}
	}
	return []Finding{ok(fmt.Sprintf("%d meeting points answer by UDP, %d by TCP", udp, tcp))}
}

// running judges what a node has seen.
func running(in Input, n p2p.Network) []Finding {
	switch {
	case in.Net.Peers == 0:
		return []Finding{found(market.CodeNetIsolated, "the node is connected to nobody", "")}
	case in.Net.Isolated:
		return []Finding{found(market.CodeNetIsolated, "no direct connection for a minute, relayed ones only", "")}
	}
	out := []Finding{ok(fmt.Sprintf("connected to %d nodes", in.Net.Peers))}
	if in.Net.Stale {
		out = append(out, found(market.CodeGossipStale, "no new offer for far longer than offers live without renewal",
			""))
	}
	if in.Net.Newer > 0 {
		out = append(out, found(market.CodeEpochOld, fmt.Sprintf("others have %d shards", in.Net.Newer), ""))
	}
	if s := in.Net.Seen; s.Unseen {
		out = append(out, found(market.CodeOfferUnseen,
			fmt.Sprintf("%d of %d nodes that should know %s do", s.Held, s.Asked, s.Key), ""))
	}
	direct, relayed := 0, 0
	for _, a := range in.Net.Addrs {
		if strings.Contains(a, "/p2p-circuit") {
			relayed++
		} else {
			direct++
		}
	}
	switch {
	case n.Local:
	case direct > 0:
		out = append(out, ok(fmt.Sprintf("%d direct addresses", direct)))
	case relayed > 0 && in.Net.Carrier:
		out = append(out, found(market.CodeCarrierNAT, fmt.Sprintf("%d relayed addresses, no direct one", relayed), ""))
	case relayed > 0:
		out = append(out, found(market.CodeRelayOnly, fmt.Sprintf("%d relayed addresses, no direct one", relayed), ""))
	default:
		out = append(out, found(market.CodeUnreachable, "no address that others could dial", ""))
	}
	return out
}

// reached counts the meeting points that a fresh host connects to.
func reached(ctx context.Context, in Input, list []meet) int {
	if len(list) == 0 {
		return 0
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return 0
	}
	h, err := p2p.New(p2p.Config{Network: in.Config.Node.Network, Key: key,
		Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}, nil, nil)
	if err != nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, groupTime-time.Second)
	defer cancel()
	var n atomic.Int32
	var host, dials sync.WaitGroup
	defer host.Wait()
	defer cancel()
	host.Go(func() { _ = h.Serve(ctx) }) // if it fails it is never ready
	select {
	case <-h.Ready():
	case <-ctx.Done():
		return 0
	}
	for _, m := range list {
		dials.Go(func() {
			if h.Connect(ctx, m.id, m.addrs) == nil {
				n.Add(1)
			}
		})
	}
	dials.Wait()
	return int(n.Load())
}
