// Package web is the site: one app in TypeScript (src), built by `make web` into dist and embedded from there.
//
// Invariants: `go build` needs no Node; without a build the site says so. Nothing of the site comes from another host,
// and its policy lets a browser load nothing else. Concurrency: a site never changes. Persistence: none. Next: site.go;
// the app begins at src/main.tsx; node/indexer serves it beside the public API.
package web
