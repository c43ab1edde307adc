// Package graph answers GraphQL from reads that exist for another interface: its schema is made of their Go types, so
// that the two cannot differ, and it has no mutations and no subscriptions.
//
// Invariants: a query is measured before it is validated (tokens, fields with fragments written out, depth) and before
// it is executed (rows, at the sizes that it asks for), each in time that its own length bounds; an answer that grows
// all the same is stopped. Each list that is no page has the argument first.
// Concurrency: Schema is safe for any goroutine. Persistence: none. Next: schema.go, measure.go, execute.go.
package graph
