//go:build !windows

package demo

import (
	"os/exec"
	"syscall"
)

// own keeps a terminal's Ctrl-C from the child: the demo ends its nodes itself, in order.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
