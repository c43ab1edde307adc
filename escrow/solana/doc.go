// Package solana is the escrow.Ledger of a Solana cluster: a JSON-RPC client, transaction builders and a durable
// sender.
//
// solana-go serves as a codec only; none of its types leaves this package.
// Invariants: an intent is in the Journal before Submit returns and its signed bytes before the first send; it is
// signed again only when the finalised height has passed its last valid height and no status is known, so no intent
// takes effect twice; an endpoint that does not answer means unknown, never absent; the genesis hash is compared before
// anything is signed.
// Concurrency: all methods of Ledger are safe for concurrent use; Serve runs once and is the only one that signs and
// sends.
// Persistence: one Journal record per intent; an ended one is deleted 24 h later. Next: docs/flows/payment.md.
package solana
