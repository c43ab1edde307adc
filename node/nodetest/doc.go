// Package nodetest runs whole nodes against each other: node.New with a simulated network in virtual time or loopback,
// real stores, the in-memory ledger and runtimetest's engine.
//
// Invariants: nothing here is imported by the product. Concurrency: a world belongs to one test. Persistence: the
// test's own folder. Next: node_test.go, loopback_test.go, flow_sim_test.go.
package nodetest
