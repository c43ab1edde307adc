// Package runtimetest holds what tests and the demo need to run jobs: an in-process registry of real images with
// faults, a runner in memory, and the conformance suite that the engine and the fake both pass.
//
// Invariants: images have real digests; the fake keeps the contract of runtime/job, no more. Concurrency: everything is
// safe to call from many goroutines. Persistence: none. Next: NewRegistry, NewFake, Conformance.
package runtimetest
