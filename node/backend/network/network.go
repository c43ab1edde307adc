// Package network is the API's side of a node's peers and of the DHT.
//
// Invariants: nothing here changes what the node trusts or remembers. Concurrency: all methods are safe for any
// goroutine. Persistence: none. Next: Links.
package network

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/dht"
	"github.com/gpuai/gpuai/p2p/offers"
)

// Bounds of one request.
const (
	findTime  = 30 * time.Second
	findWant  = 3
	pingTime  = 10 * time.Second
	probeTime = 5 * time.Second
)

// Links is api.Network.
type Links struct {
	Host  *p2p.Host
	Heard *offers.Service
	DHT   *dht.Service
	// Find looks a key up and says whose record was true.
	Find func(ctx context.Context, k dht.Key, want int) (dht.Found, error)
}

var _ api.Network = Links{}

// Net implements api.Network.
func (l Links) Net(ctx context.Context) (api.Net, error) {
	stats, held := l.DHT.Stats(), l.Heard.Stats()
	n := api.Net{
		Schema: "gpuai.net/v1", Network: l.Host.Network().Name, PeerID: l.Host.ID().String(),
		Version: l.Host.Network().Version(), Addresses: append([]string{}, l.Host.FullAddrs()...),
		Listeners: held.Subscribers, Offers: held.Offers, Wants: len(l.Heard.Wants()),
		DHT: api.NetDHT{Server: stats.Server, Nodes: stats.Table, Keys: []string{}},
	}
	for _, p := range l.Host.Links() {
		n.Peers++
		if p.Inbound {
			n.Inbound++
		}
		if p.Relayed {
			n.Relayed++
		}
	}
	for _, k := range stats.Announced.Keys {
		n.DHT.Keys = append(n.DHT.Keys, string(k))
	}
	if at := stats.Announced.At; !at.IsZero() {
		t := rest.At(at)
		n.DHT.AnnouncedAt = &t
	}
	if err := stats.Announced.Err; err != nil {
		n.DHT.Error = oneLine(err)
	}
	if len(stats.Announced.Keys) > 0 && stats.Table > 0 {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		if held, asked, err := l.DHT.Probe(ctx, stats.Announced.Keys[0]); err == nil {
			n.DHT.Held, n.DHT.Asked = &held, &asked
		}
	}
	return n, nil
}

// oneLine says why an announcement failed, without every address that was dialled.
func oneLine(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the nodes that should keep it did not answer in time"
	}
	line, _, _ := strings.Cut(err.Error(), "\n") // one for each key, each with a line for each address
	return strings.TrimSuffix(strings.TrimSpace(line), ":")
}

// Peers implements api.Network.
func (l Links) Peers(context.Context) ([]api.Peer, error) {
	out := []api.Peer{}
	for _, p := range l.Host.Links() {
		out = append(out, api.Peer{
			ID: p.ID.String(), Address: p.Addr, Version: p.Version, Agent: p.Agent, Inbound: p.Inbound,
			Relayed: p.Relayed, Meeting: p.Meeting, Lease: p.Lease, Since: rest.At(p.Since),
			RTTus: p.RTT.Microseconds(),
		})
	}
	return out, nil
}

// FindPeers implements api.Network.
func (l Links) FindPeers(ctx context.Context, r api.FindRequest) (out api.FoundPeers, err error) {
	key, err := keyOf(r.Key)
	if err != nil {
		return out, err
	}
	if r.Want == 0 {
		r.Want = findWant
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	began := time.Now()
	found, err := l.Find(ctx, key, r.Want)
	out = api.FoundPeers{Schema: "gpuai.found-peers/v1", Key: r.Key, Records: found.Records, Peers: []string{},
		TookMS: time.Since(began).Milliseconds()}
	for _, id := range found.Good {
		out.Peers = append(out.Peers, id.String())
	}
	if len(out.Peers) > 0 || ctx.Err() == context.DeadlineExceeded {
		err = nil // what was found by then is the answer
	}
	return out, err
}

// keyOf reads what a person looks for.
func keyOf(what string) (dht.Key, error) {
	switch {
	case what == "infra":
		return dht.Infra, nil
	case what == "indexer":
		return dht.Indexer, nil
	case market.ValidClass(what):
		return dht.Class(what), nil
	}
	return "", &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "look up",
		Detail: "key must be a class of devices, infra or indexer", Hint: "gpuai net find rtx-4090"}
}

// PingPeer implements api.Network.
func (l Links) PingPeer(ctx context.Context, r api.PingRequest) (api.Ping, error) {
	text, addrs := r.Peer, []string(nil)
	if at := strings.LastIndex(text, "/p2p/"); at >= 0 {
		addrs, text = []string{text[:at]}, text[at+len("/p2p/"):]
	}
	id, err := market.ParseNodeID(text)
	if err != nil {
		return api.Ping{}, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "ping", Err: err,
			Detail: "no peer id, and no address that ends in one", Hint: "gpuai net peers"}
	}
	if addrs == nil {
		addrs = l.Heard.Reach(id)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	e, err := l.Host.Ping(ctx, id, addrs)
	return api.Ping{Schema: "gpuai.ping/v1", ID: id.String(), Address: e.Addr, Relayed: e.Relayed,
		RTTus: e.RTT.Microseconds()}, err
}
