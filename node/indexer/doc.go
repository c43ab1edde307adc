// Package indexer is the role that keeps a public index of the market: it hears Offers, dials rigs, and serves what it
// knows to anybody. Nothing of it decides about money or trust.
//
// Invariants: the index is a projection: it may be deleted, and nothing is asked of it. What peers say is bounded and
// checked before it is written; what does not fit is refused and counted.
// Concurrency: Serve owns all goroutines; one of them writes. Persistence: node/indexer/db. Next: indexer.go, offer.go,
// probe.go, public/, docs/flows/indexer.md.
package indexer
