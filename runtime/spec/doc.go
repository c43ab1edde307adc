// Package spec is what a job is: the job file and its flags, the Spec that travels in a Lease, image references,
// and the manifests of files that move.
//
// Invariants: one parser for file and flags, which reports every fault with line, column and fix; a Spec from a peer is
// parsed strictly and never re-encoded; archives from peers create regular files, directories and inner symlinks only,
// below one os.Root.
// Concurrency: all functions are safe to call from many goroutines; values are not shared. Persistence: none.
// Next: ParseFile (job file), ParseSpec (from a Lease), Pack and Unpack (files).
package spec
