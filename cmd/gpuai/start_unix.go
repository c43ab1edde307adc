//go:build !windows

package main

import (
	"syscall"
)

// detached gives a started node a session of its own: a closed terminal does not end it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// gone reports whether a child has ended; it is waited for, so that no zombie looks alive.
func gone(pid int) bool {
	var status syscall.WaitStatus
	n, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
	return n == pid || err == syscall.ECHILD
}
