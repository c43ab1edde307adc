// Package docker runs jobs on a Docker Engine (API 1.41 or newer) and is the only importer of its client.
//
// Invariants: unknown is never absent, and nothing is torn down on it; a start is never repeated after a start, and the
// stop signal is sent once, because intents are saved before the call; a container is ours only by name and by the id
// in the row; no customer code runs before the gate has seen the leased devices and the sandbox; a job without a living
// guard has no network and is ended; an end is said only with its reason (attempt.seen).
// Concurrency: one has a key's turn at a time (entry), and a call joins the worker that has it. No lock is held over a
// call of the engine: what must wait for one waits for a turn or a slot, and no longer than its context.
// Persistence: names and labels in the engine, one row per key through job.Memory.
// Next: Engine and its parts (engine.go), jobs.Reconcile (jobs.go), what one look leads to (attempt.go, prepare.go,
// gone.go), the container profile (profile.go), guard.go, gate.go.
package docker
