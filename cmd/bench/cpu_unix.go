//go:build unix

package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// measures: this system tells what a process and a thread have used.
const measures = true

// onCPU is the time that this thread has had a processor: what a machine that others use at the same time leaves
// comparable.
func onCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// ownTime is what this process has used of all cores.
func ownTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // it fails for other processes only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
