// Package wire is the form of signed documents outside a process: envelope, document id, protobuf bodies, and the
// limits of everything that a peer may send. Store, exporters and indexers read documents with it off line, so it
// imports no libp2p.
//
// Invariants: what Open and Decode return is within the limits; an envelope has one valid byte form per signature;
// bytes are kept and verified as received, never re-encoded. The network's name is inside every signature and id.
// Concurrency: all functions are pure.
// Persistence: none; the layouts are append-only. Next: Seal, Open, docs/flows/offer.md.
package wire
