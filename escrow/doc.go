// Package escrow is the money side of GPU AI without I/O: vouchers, releases, channel addresses, the account's layout,
// strict signature checks, derived keys and the accountants of both sides. escrow/solana and escrow/escrowtest
// implement its Ledger.
//
// Invariants: no check here is laxer than the chain's (TestVerifierSubsetOfChain); amounts are cumulative and never
// fall; the lease amounts of a Channel sum to its voucher; an accountant never mutates the state it was given when it
// refuses.
// Concurrency: everything is a value or a pure function; Payee and Payer states are not safe for concurrent use, clone
// them.
// Persistence: Payee and Payer marshal to JSON, written by node/store before any acknowledgement leaves.
// Layouts, numbers and codes are append-only and shared with escrow/program. Next: docs/flows/payment.md.
package escrow
