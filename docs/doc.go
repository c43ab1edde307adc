// Package docs holds what the documents promise as tests: layers, style, names in the flows. It has no code of its own.
//
// Invariants: a document names only what exists. Concurrency, persistence: none. Next: ARCHITECTURE.md, docs_test.go, style_test.go.
package docs
