// Package offers spreads Offers and Wants: gossip, a topic for each shard, and sync/1, which brings what gossip missed.
// Both feed the same sets, the newest Offer per signer and Want per signer and slot, and the node's Sink. Outcomes have
// a topic of their own and are kept by nobody here.
//
// Invariants: nothing unverified is forwarded or kept; a peer is blamed only for what every version refuses; a flood
// costs its forwarder's quota, never the signer's; the set is bounded. Concurrency: methods are safe from many
// goroutines; Serve runs once and owns all goroutines; the Sink is called from one. Persistence: none. Next:
// Service.Serve, docs/flows/offer.md.
package offers
