package p2p

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Network is one separated market: its name is in every signature, protocol id and topic. Local networks relax what
// public ones enforce.
type Network struct {
	Name      string // "localnet", "localnet-<a-z0-9, ≤ 16>", "devnet", "mainnet"
	Local     bool   // weak runtimes, simulated devices, ticks below 5 s
	Private   bool   // private addresses are used, everybody counts as reachable; local networks only
	Port      int    // UDP and TCP; 0 = any
	Genesis   string // genesis hash of its ledger, base58; "" = any that is not public
	Bootstrap []string
	Epochs    []wire.Epoch // how its documents are split over topics, oldest first; none: one topic
}

// mainnetEnabled stays false until the payment program is audited.
const mainnetEnabled = false

const defaultPort = 4801

// RelayFiles is how many bytes of files a lease may send over a relay each way: a constant of all networks, below what
// a relay carries on one circuit. The rest is for vouchers, logs and exec.
const RelayFiles = 3 << 20

// LocalPort is where the meeting point of network localnet listens, UDP on loopback.
const LocalPort = 8897

// LocalSeed is the node key of that meeting point. It is public: loopback trusts whoever is on this machine anyway.
func LocalSeed() [32]byte { return sha256.Sum256([]byte("gpuai/localnet/meeting-point/1")) }

// Networks that exist, bound to their ledgers.
var networks = []Network{
	{Name: "localnet", Local: true, Private: true,
		Bootstrap: []string{"/ip4/127.0.0.1/udp/8897/quic-v1/p2p/12D3KooWLKm1pq8u2qmSD1eGhd5daQJ1AC58TBV3aJtQGQSH5you"}},
	{Name: "devnet", Port: defaultPort, Genesis: "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"},
	{Name: "mainnet", Port: defaultPort, Genesis: "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"},
}

// publicGenesis are ledgers that no localnet may run on: test relaxations never meet real money.
var publicGenesis = []string{
	networks[1].Genesis, networks[2].Genesis, "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY", // the last: testnet
}

// NetworkByName finds a network; any "localnet-<suffix>" exists. Errors: *market.Error with code "unknown-network",
// "network-off".
func NetworkByName(name string) (Network, error) {
	if suffix, ok := strings.CutPrefix(name, "localnet-"); ok && suffix != "" && len(suffix) <= 16 &&
		strings.Trim(suffix, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
		return Network{Name: name, Local: true, Private: true}, nil
	}
	for _, n := range networks {
		if n.Name != name {
			continue
		}
		if name == "mainnet" && !mainnetEnabled {
			return Network{}, &market.Error{
				Code: market.CodeNetworkOff, Op: "choose network", Kind: market.KindDenied,
				Detail: "mainnet stays off until the payment program is audited",
				Hint:   "gpuai config set node.network=localnet",
			}
		}
		return n, nil
	}
	return Network{}, &market.Error{
		Code: market.CodeUnknownNetwork, Op: "choose network", Kind: market.KindInvalid,
		Detail: fmt.Sprintf("%q", name),
		Hint:   "use devnet, localnet or localnet-<name>",
	}
}

// CheckGenesis refuses a ledger that does not belong to the network. Errors: *market.Error with code "wrong-ledger".
func (n Network) CheckGenesis(genesis string) error {
	bad := n.Genesis != "" && genesis != n.Genesis
	if n.Local {
		for _, g := range publicGenesis {
			bad = bad || g == genesis
		}
	}
	if bad {
		return &market.Error{
			Code: market.CodeWrongLedger, Op: "check ledger of " + n.Name, Kind: market.KindInvalid,
			Detail: "its genesis hash is " + genesis,
			Hint:   "gpuai config set solana.rpc=URL",
		}
	}
	return nil
}

// Prefix starts all protocol ids and topics: "/gpuai/<name>".
func (n Network) Prefix() string { return "/gpuai/" + n.Name }

// Protocol returns a stream protocol's id: "/gpuai/<net>/quote/1" for ("quote", 1).
func (n Network) Protocol(name string, major int) protocol.ID {
	return protocol.ID(fmt.Sprintf("%s/%s/%d", n.Prefix(), name, major))
}

// Version is what identify announces: the network, and the version of its rules.
func (n Network) Version() string { return n.Prefix() + "/1" }

// kin is how a peer's announced version stands to this network.
type kin int

const (
	unknown kin = iota // of no network of ours: another program
	// of this network, whatever the version: protocol ids and topics separate what two cannot both speak
	own
	foreign // of another network of this program
)

func (n Network) kinship(version string) kin {
	name, _, versioned := strings.Cut(strings.TrimPrefix(version, "/gpuai/"), "/")
	switch {
	case !strings.HasPrefix(version, "/gpuai/") || !versioned:
		return unknown
	case name == n.Name:
		return own
	}
	return foreign
}
