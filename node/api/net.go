package api

import (
	"context"

	"github.com/gpuai/gpuai/node/rest"
)

// Network looks at this node's peers and beyond them.
type Network interface {
	Net(ctx context.Context) (Net, error)
	Peers(ctx context.Context) ([]Peer, error)
	// FindPeers looks in the DHT for those who announced what r names, until enough were good or 30 s.
	FindPeers(ctx context.Context, r FindRequest) (FoundPeers, error)
	PingPeer(ctx context.Context, r PingRequest) (Ping, error)
	// Wants are what other customers, and this node's own orders, wait for, the oldest first.
	Wants(ctx context.Context) ([]Want, error)
}

// Net is how this node stands in its network.
type Net struct {
	Schema    string   `json:"schema"`
	Network   string   `json:"network"`
	PeerID    string   `json:"peer_id"`
	Version   string   `json:"version"`   // of the network's rules, as announced
	Addresses []string `json:"addresses"` // announced
	Peers     int      `json:"peers"`
	Inbound   int      `json:"inbound"`
	Relayed   int      `json:"relayed"`
	Listeners int      `json:"listeners"` // peers that hear offers too
	Offers    int      `json:"offers"`    // held
	Wants     int      `json:"wants"`     // the same
	DHT       NetDHT   `json:"dht"`
}

// NetDHT is this node's part of the table of announcements.
type NetDHT struct {
	Server      bool       `json:"server"` // answers others
	Nodes       int        `json:"nodes"`  // in the routing table
	Keys        []string   `json:"keys"`   // announced by this node
	AnnouncedAt *rest.Time `json:"announced_at,omitempty"`
	Error       string     `json:"error,omitempty"` // of the newest announcement
	// Asked and Held are filled on request: of the nodes that should keep the first key, how many answered, and how
	// many have this node under it.
	Asked *int `json:"asked,omitempty"`
	Held  *int `json:"held,omitempty"`
}

// Peer is a connected node.
type Peer struct {
	ID      string    `json:"id"`
	Address string    `json:"address"` // where it is seen
	Version string    `json:"version,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Inbound bool      `json:"inbound"`
	Relayed bool      `json:"relayed"`
	Meeting bool      `json:"bootstrap"` // named by the settings or built in
	Lease   bool      `json:"lease"`
	Since   rest.Time `json:"since"`
	RTTus   int64     `json:"rtt_us,omitempty"` // absent: not measured
}

// FindRequest names what to look for: a class of devices, or infra or indexer nodes.
type FindRequest struct {
	Key  string `json:"key" doc:"a class such as rtx-4090, infra or indexer" example:"rtx-4090"`
	Want int    `json:"want,omitempty" minimum:"0" maximum:"200" doc:"ends the look-up; 0: 3"`
}

// FoundPeers is what a look-up met: nodes whose record was true.
type FoundPeers struct {
	Schema  string   `json:"schema"`
	Key     string   `json:"key"`
	Records int      `json:"records"` // different nodes that the table named
	Peers   []string `json:"peers"`   // those that answered, and sell it if it is a class
	TookMS  int64    `json:"took_ms"`
}

// PingRequest names a node by its id, or by an address that ends in /p2p/ID.
type PingRequest struct {
	Peer string `json:"peer" doc:"a peer id, or a multiaddress that ends in /p2p/ID"`
}

// Ping is one round trip.
type Ping struct {
	Schema  string `json:"schema"`
	ID      string `json:"id"`
	Address string `json:"address"`
	Relayed bool   `json:"relayed"`
	RTTus   int64  `json:"rtt_us"`
}
