// Command sandbox is the static helper inside a lease's containers: first process and gate of a job, network guard,
// probe, execs.
//
// Invariants: built without cgo and with no path of the building machine, so that equal sources give equal bytes; it
// reads nothing of the image but the command. Concurrency and persistence: none of its own. Next:
// runtime/sandbox/guard.
package main
