package api

import (
	"context"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// network are the routes of Network.
type network struct{ b Network }

func (s *network) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/net", "net", "how this node stands in its network; `dht.asked` and `dht.held` say how many of the "+
			"nodes that should keep its announcement do", s.net),
		rest.Get("/net/peers", "peers", "connected nodes, oldest first", s.peers),
		rest.Call("POST", "/net/find", "findPeers", "`{\"key\": \"rtx-4090\"}`: looks in the DHT, where gossip does "+
			"not reach; rigs that are found come to the offers too", s.find).Asks(`{"key": "rtx-4090"}`),
		rest.Call("POST", "/net/ping", "pingPeer", "`{\"peer\": \"12D3…\"}`: connects, and measures one round trip",
			s.ping).Fails(market.CodePeerUnreachable).
			Asks(`{"peer": "12D3KooWNVcnyi3tAfKwAhD5ejJKpnkXHBBNAJCgFThTgyPfR8HB"}`),
		rest.Get("/wants", "wants", "what orders in the network wait for, with `--wait`; of a node that sells, `rig` "+
			"says whether it could serve each, and why not", s.wants),
	}
}

type peerList struct {
	Schema string `json:"schema"`
	Peers  []Peer `json:"peers"`
	Cursor string `json:"cursor,omitempty"`
}

func (s *network) net(ctx context.Context, _ *none) (Net, error) { return s.b.Net(ctx) }

func (s *network) peers(ctx context.Context, in *rest.Paging) (out peerList, err error) {
	all, err := s.b.Peers(ctx)
	if err != nil {
		return out, err
	}
	l, cursor, err := rest.Page(*in, all, func(p Peer) string { return byAge(p.Since, p.ID) })
	return peerList{"gpuai.peers/v1", l, cursor}, err
}

type findIn struct{ Body FindRequest }

func (s *network) find(ctx context.Context, in *findIn) (FoundPeers, error) {
	return s.b.FindPeers(ctx, in.Body)
}

type pingIn struct{ Body PingRequest }

func (s *network) ping(ctx context.Context, in *pingIn) (Ping, error) {
	return s.b.PingPeer(ctx, in.Body)
}

type wantList struct {
	Schema string `json:"schema"`
	Wants  []Want `json:"wants"`
	Cursor string `json:"cursor,omitempty"`
}

func (s *network) wants(ctx context.Context, in *rest.Paging) (out wantList, err error) {
	l, err := s.b.Wants(ctx)
	if err != nil {
		return out, err
	}
	l, cursor, err := rest.Page(*in, l, func(w Want) string { return byAge(w.IssuedAt, w.ID) })
	return wantList{"gpuai.wants/v1", l, cursor}, err
}

// Wants implements Network.
func (c networkClient) Wants(ctx context.Context) ([]Want, error) {
	return all(ctx, c.link, "/wants?", func(l wantList) ([]Want, string) { return l.Wants, l.Cursor })
}

// Net implements Network.
func (c networkClient) Net(ctx context.Context) (Net, error) {
	return call[Net](ctx, c.link, "GET", "/net", nil)
}

// Peers implements Network.
func (c networkClient) Peers(ctx context.Context) ([]Peer, error) {
	return all(ctx, c.link, "/net/peers?", func(l peerList) ([]Peer, string) { return l.Peers, l.Cursor })
}

// FindPeers implements Network.
func (c networkClient) FindPeers(ctx context.Context, r FindRequest) (FoundPeers, error) {
	return call[FoundPeers](ctx, c.link, "POST", "/net/find", r)
}

// PingPeer implements Network.
func (c networkClient) PingPeer(ctx context.Context, r PingRequest) (Ping, error) {
	return call[Ping](ctx, c.link, "POST", "/net/ping", r)
}
