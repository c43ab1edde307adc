// Package p2p runs the node's libp2p host: identity, networks, addresses, connection rules and the upkeep of
// connections. Documents are p2p/wire's, gossip is p2p/offers', streams are p2p/streams'.
//
// Invariants: only peers with Ed25519 keys and of the own network stay connected; off localnet no private address is
// announced or dialled; every limit is finite; losing the network ends no lease. Concurrency: methods of Host are safe
// from many goroutines; Serve runs once and owns all goroutines. Persistence: the peer book, through PeerStore. Next:
// Host.Serve, docs/flows/offer.md.
package p2p
