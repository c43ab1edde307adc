// Package docker runs jobs on a Docker Engine (API 1.41 or newer) and is the only importer of its client.
//
// Invariants: unknown is never absent, and nothing is torn down on it; a start is never repeated after a start, and the
// stop signal is sent once, because intents are saved before the call; a container is ours only by name and by the id
// in the row; no customer code runs before the gate has seen the leased devices and the sandbox; a job without a living
// guard has no network and is ended.
// Concurrency: calls for one key are serialised; at most one worker per key acts in the background, and a call joins
// it.
// Persistence: names and labels in the engine, one row per key through job.Memory.
// Next: Engine.Reconcile (reconcile.go), what one look leads to (step.go), the container profile (profile.go),
// guard.go, gate.go.
package docker
