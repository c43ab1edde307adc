// Package rest is the kit of HTTP interfaces: routes that document themselves, one form of errors, idempotency keys,
// long operations, pages, tags, event streams, and the guards of a listener. It knows no documents; node/api has those
// of the node.
//
// Invariants: every error is one problem document with a code. What was sent is never repeated. The OpenAPI document
// and the checks of a request come from the same types.
// Concurrency: Mux serves from any goroutine once its routes are added. Persistence: idempotency records, through
// Answers. Next: route.go, mux.go, newapi.go.
package rest
