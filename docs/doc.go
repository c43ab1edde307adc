// Package docs holds what the documents promise as tests: layers, style, names in the flows. Its only code hands out
// the list of codes.
//
// Invariants: a document names only what exists. Concurrency, persistence: none. Next: ARCHITECTURE.md, docs_test.go,
// style_test.go.
package docs

import "embed"

// Errors holds the three lists of codes: errors/commands.md, errors/leases.md and errors/jobs.md.
//
//go:embed errors/commands.md errors/leases.md errors/jobs.md
var Errors embed.FS
