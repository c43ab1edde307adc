// Package public is the API of an indexer that anybody may ask: figures with their sources, read from its index.
//
// Invariants: an answer follows from the request and the index alone, so its ETag is the state of its sources. Every
// figure says where it comes from, as of when and over how many. No address of a machine is told.
// Concurrency: any goroutine. Persistence: none of its own. Next: types.go, server.go, docs/flows/indexer.md.
package public
