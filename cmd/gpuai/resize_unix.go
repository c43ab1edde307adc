//go:build !windows

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// resizes tells that the terminal may have another size.
func resizes() (changed <-chan os.Signal, stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGWINCH)
	return ch, func() { signal.Stop(ch) }
}
