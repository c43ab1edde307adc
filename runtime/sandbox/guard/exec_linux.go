package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec runs argv beside the job, as a session of its own, with or without a terminal of cols × rows, and returns its
// exit code. stdin is framed (FrameData …); its end kills the session, because an engine's exec outlives its client.
func Exec(tty bool, cols, rows uint16, argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	name, code, err := lookup(argv)
	if err != nil {
		fmt.Fprintln(stderr, "gpuai:", err)
		return code
	}
	cmd := &exec.Cmd{Path: name, Args: argv, Env: restoreEnv(os.Environ()), Stdout: stdout, Stderr: stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var in io.WriteCloser
	var pty, slave *os.File
	if tty {
		if pty, slave, err = openPTY(cols, rows); err != nil {
			fmt.Fprintln(stderr, "gpuai: no terminal:", err)
			return ExitNotExecutable
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr.Setctty = true
		in = pty
	} else if in, err = cmd.StdinPipe(); err != nil {
		fmt.Fprintln(stderr, "gpuai:", err)
		return ExitNotExecutable
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, "gpuai:", startError(argv[0], err))
		return ExitNotExecutable
	}
	var feeding sync.WaitGroup // not waited for: it reads until this process ends, which is when the command does
	feeding.Go(func() { feed(stdin, in, pty, cmd.Process.Pid) })
	if !tty {
		return exitCode(cmd.Wait())
	}
	_ = slave.Close()
	var out sync.WaitGroup
	out.Go(func() { _, _ = io.Copy(stdout, pty) }) // ends with EIO when the last holder of the terminal is gone
	code = exitCode(cmd.Wait())
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP) // what is left of the session must not hold the terminal open
	out.Wait()
	return code
}

// feed hands frames on until stdin ends, then kills the session.
func feed(stdin io.Reader, in io.WriteCloser, pty *os.File, pid int) {
	for {
		kind, data, err := ReadFrame(stdin)
		if err != nil {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			return
		}
		switch {
		case kind == FrameData:
			_, _ = in.Write(data) // a command that closed its stdin still runs
		case kind == FrameEnd && pty == nil:
			_ = in.Close()
		case kind == FrameEnd:
			_, _ = in.Write([]byte{4}) // end of transmission
		case kind == FrameResize && pty != nil && len(data) == 4:
			setSize(pty, binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:]))
		}
	}
}

func exitCode(err error) int {
	var ee *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ee):
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return ee.ExitCode()
	}
	return 1
}

func setSize(f *os.File, cols, rows uint16) {
	_ = unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows})
}

func openPTY(cols, rows uint16) (pty, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	pty = os.NewFile(uintptr(fd), "ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = pty.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	setSize(pty, cols, rows)
	return pty, slave, nil
}
