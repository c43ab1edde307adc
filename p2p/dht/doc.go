// Package dht finds rigs and meeting points where gossip does not reach: a Kademlia table of the network's own nodes
// with provider records, and nothing else in it.
//
// Invariants: a record is a hint and never the truth, since anybody may write one; what counts is the signed Offer that
// the node itself sends. No address of another network, and off localnet none of a LAN, is kept or dialled.
// Concurrency: all methods are safe for any goroutine. Persistence: none, a start announces anew. Next: service.go,
// find.go.
package dht
