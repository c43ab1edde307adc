// Command layout holds the one table of what the escrow program reads and writes: instructions, accounts, events,
// codes. It writes what is made of it: the codecs in Go and TypeScript, and the IDL.
//
//	go run ./escrow/layout    in the module's root
//
// Invariants: rows are append-only, since a byte on the chain is served for ever; the program's own constants are
// compared with the table. Concurrency: one goroutine. Persistence: none. Next: table.go, go.go, typescript.go, idl.go.
package main
