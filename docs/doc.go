// Package docs holds what the documents promise as tests: layers, style, codes, names in the flows. It has no other
// code.
//
// Invariants: a document names only what exists; what is made from the source is as new as the source. Concurrency,
// persistence: none. Next: ARCHITECTURE.md, docs_test.go, style_test.go, codes_test.go.
package docs
