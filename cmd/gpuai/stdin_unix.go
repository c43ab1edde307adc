//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// pending reports whether something waits in a pipe.
func pending(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	if err != nil || n == 0 || fds[0].Revents&unix.POLLIN == 0 {
		return false
	}
	return true
}
