// Command bench measures what docs/benchmarks.md states, on this machine, each figure beside a peer in the same run
// where one exists.
//
//	bench NAME [-json] [flags]    NAME: start, vouchers, cu, idle, match, ended, gossip, dht, model, put,
//	                            validate, tunnel, sync, infra; run it in the checkout
//
// Invariants: nothing is faked that a figure is about; a figure that misses its target is printed as such, and only
// what could not be measured is an error. Concurrency: one bench at a time, load is made by goroutines that a WaitGroup
// owns. Persistence: a temporary folder, removed at the end. Next: figure.go, nodes.go, start.go.
package main
