// Package market is the vocabulary of GPU AI and its pure core: identities, money, documents and the lease machine.
//
// It imports only the standard library, holds no clock, goroutine, I/O or log, and everything may import it.
//
// Words (one per thing, the same in code, logs, JSON, CLI and docs):
//   - Node: one running process with one peer identity. Provider, Customer, Indexer: roles of a node.
//   - Rig: a provider's machine. Device: one GPU, or the CPU slot of a rig, identified by its measured UUID.
//   - Offer: a provider's signed, sequence-numbered statement of its whole rig. A newer one replaces it.
//   - Order: a customer's requirements, sent to chosen providers only. Quote: a provider's signed answer; it reserves
//     nothing.
//   - Want: a customer's signed wish for devices that its book does not hold. Providers that can serve it answer.
//   - Lease: what both signed: Order + Quote + Channel. Job: the containers that run under a Lease.
//   - Tick: the billing interval of a Lease. Receipt: the provider's cumulative metered usage.
//   - Channel: the escrow account from one customer's wallet to one provider's payout address.
//   - Voucher: the customer's signed, cumulative claim on a Channel. Only the last one matters.
//   - Settlement: the transaction that redeems a Voucher. Release: the provider's consent to an early close.
//   - Spending account: the Solana keypair of the customer's node. Away allowance: what is signed ahead of the meter.
//   - Event, Effect: input of a state machine, and the outside action that a new state asks for.
//
// Invariants: amounts are cumulative; every amount is floor(total) and so never grows by splitting time into ticks.
// Concurrency: all types are values, safe to copy; nothing is shared. Persistence: none here, see node/store.
package market
