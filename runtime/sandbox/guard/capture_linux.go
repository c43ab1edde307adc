package guard

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	captureBuffer = 4 * LogData
	drainAll      = 30 * time.Second // for what is in the pipes at the end, if the engine does not read
	reapAll       = 2 * time.Second
	jobOOMScore   = 800 // of the command, above init's own: it is the kernel's first choice
)

// capture takes what the job writes to its two streams and passes it to the engine as frames (see LogFrame), in the
// order of arrival. The pipes stand in for this process's own streams too, so that what others write to /proc/1/fd/1
// arrives like everything else.
type capture struct {
	out    int    // the engine's pipe; -1: broken, the job goes on
	read   [2]int // where stdout and stderr arrive
	last   int    // an eventfd: nothing more is to come. Unlike a pipe, nobody else can open it.
	offset uint64 // owned by whoever writes: before start its caller, then pump
	line   []byte
	pump   sync.WaitGroup
}

// newCapture puts pipes in place of streams 1 and 2. Errors: no file descriptors.
func newCapture() (*capture, error) {
	out, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep the log's stream: %w", err)
	}
	c := &capture{out: out}
	for i := range c.read {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return nil, fmt.Errorf("make a stream: %w", err)
		}
		if err := errors.Join(unix.Dup3(p[1], i+1, 0), unix.Close(p[1]), unix.SetNonblock(p[0], true)); err != nil {
			return nil, fmt.Errorf("make a stream: %w", err)
		}
		c.read[i] = p[0]
	}
	if c.last, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a stream: %w", err)
	}
	return c, nil
}

// say logs words of our own; only before start.
func (c *capture) say(words ...any) {
	c.frames(2, []byte(fmt.Sprintln(words...)))
}

func (c *capture) start() { c.pump.Go(c.run) }

// run moves output until last is set and both streams are empty.
func (c *capture) run() {
	buf := make([]byte, captureBuffer)
	fds := []unix.PollFd{{Fd: int32(c.read[0]), Events: unix.POLLIN}, {Fd: int32(c.read[1]), Events: unix.POLLIN},
		{Fd: int32(c.last), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return // cannot happen: the descriptors are ours
		}
		last := fds[2].Revents != 0
		moved := false
		for i := range c.read {
			n, err := unix.Read(c.read[i], buf)
			if err == nil && n > 0 {
				c.frames(uint8(i+1), buf[:n])
				moved = true
			}
		}
		if last && !moved {
			return
		}
	}
}

// frames writes output as frames.
func (c *capture) frames(stream uint8, b []byte) {
	now := time.Now()
	c.line = c.line[:0]
	for len(b) > 0 {
		n := min(len(b), LogData)
		c.line = AppendLog(c.line, LogFrame{Offset: c.offset, Stream: stream, Time: now, Data: b[:n]})
		c.offset += uint64(n)
		b = b[n:]
	}
	c.write(c.line)
}

func (c *capture) write(b []byte) {
	for len(b) > 0 && c.out >= 0 {
		n, err := unix.Write(c.out, b)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // somebody made the engine's pipe non-blocking
			// the write says what is wrong
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(c.out), Events: unix.POLLOUT}}, -1)
		case err != nil:
			c.out = -1 // nobody logs any more; what is missing is seen by its offsets
		}
		b = b[max(n, 0):]
	}
}

// finish drains the streams and writes the end frame, within drainAll.
func (c *capture) finish() {
	_, _ = unix.Write(c.last, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // cannot fail
	done := make(chan struct{})
	var end sync.WaitGroup // ends with the process at the latest
	end.Go(func() {
		c.pump.Wait()
		c.write(AppendLog(nil, LogFrame{Offset: c.offset, Stream: StreamEnd, Time: time.Now()}))
		close(done)
	})
	select {
	case <-done:
	case <-time.After(drainAll):
	}
}

// killRest ends every process that the command left behind, so that the log has an end.
func killRest() {
	_ = syscall.Kill(-1, syscall.SIGKILL) // none is left
	gone := make(chan struct{})
	var reap sync.WaitGroup // ends with the process at the latest
	reap.Go(func() {
		defer close(gone)
		for {
			if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	select {
	case <-gone:
	case <-time.After(reapAll):
	}
}

// spawn starts the command with a higher OOM score than init's: what uses the memory goes first, and the log keeps its
// writer.
func spawn(name string, argv, env []string) (int, error) {
	const score = "/proc/self/oom_score_adj"
	own, err := os.ReadFile(score)
	if n, aerr := strconv.Atoi(strings.TrimSpace(string(own))); err == nil && aerr == nil && n < jobOOMScore {
		// where /proc is hidden, init and command share a score
		_ = os.WriteFile(score, []byte(strconv.Itoa(jobOOMScore)), 0)
		defer func() { _ = os.WriteFile(score, own, 0) }()
	}
	return syscall.ForkExec(name, argv,
		&syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{}})
}
