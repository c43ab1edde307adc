package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestScreenOf_Resized_IsToldAtOnce: a real terminal changes its size, and the remote one hears it.
func TestScreenOf_Resized_IsToldAtOnce(t *testing.T) {
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer pty.Close()
	n, err := unix.IoctlGetInt(int(pty.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(pty.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	resize := func(cols, rows uint16) {
		if err := unix.IoctlSetWinsize(int(pty.Fd()), unix.TIOCSWINSZ,
			&unix.Winsize{Col: cols, Row: rows}); err != nil {
			t.Fatal(err)
		}
	}
	resize(120, 40)
	a := &App{env: []string{"HOME=/", "TERM=tmux-256color"}}
	s, done := a.screenOf(slave)
	if s.Cols != 120 || s.Rows != 40 || s.Term != "tmux-256color" {
		t.Errorf("got %dx%d, %q", s.Cols, s.Rows, s.Term)
	}
	resize(99, 33)
	// as the kernel tells the terminal's own session
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-s.Resized:
		if got != [2]uint16{99, 33} {
			t.Errorf("got %v", got)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody was told")
	}
	done()
}
