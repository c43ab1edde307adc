// Command gpuai is the node and its command line.
//
// Invariants: stdout is data, stderr is talk; a question is asked only on a terminal; commands reach the node through
// its API only.
// Concurrency: one command per process. Persistence: the node's, and the settings file. Next: app.go, run.go.
package main

import (
	"context"
	"os"
)

func main() {
	a := &App{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), system: installed}
	os.Exit(a.Main(context.Background(), os.Args[1:]))
}
