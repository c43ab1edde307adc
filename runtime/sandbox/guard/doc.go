// Package guard is what runs inside a lease's containers: the first process of a job and its gate, the network guard,
// the probe and the helper of execs. The static program cmd/sandbox calls it; runtime/sandbox embeds that program; this
// file and types.go are shared with the node, so that both ends agree on their JSON.
//
// Invariants: no customer code runs before the gate is open; the guard denies everything before it allows anything;
// nothing here trusts the image: no file of it is read but the command. Concurrency: each entry point owns its process.
// Persistence: none.
// Next: Init, Gate, Network, Probe, Exec (all linux), ../sandbox.go.
package guard
