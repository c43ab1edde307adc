// Package escrowtest is a chain in memory with the program's rules, and what tests of the money need: Chain, its
// escrow.Ledger handles, the conformance suite TestLedger, and NeedLocalnet for the real program.
//
// Invariants: a transaction applies whole or not at all; every lamport is either on an account, in a Channel, or a
// counted fee (Chain.Total is constant but for Fund). Codes are the program's.
// Concurrency: a Chain and its Ledgers are safe for concurrent use. Persistence: none; a Chain lives as long as the
// test.
// Next: docs/flows/payment.md, escrow/program.
package escrowtest
