package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"syscall"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/sandbox/guard"
)

const (
	maxArgv  = 64 << 10
	maxExecs = 16
)

// Exec implements job.Access. The helper makes the terminal itself and kills the command when the stream ends.
// Refusals: paused, conflict (the job does not run behind an open gate), busy (16 at once).
func (ac *access) Exec(ctx context.Context, k job.Key, s job.ExecSpec) (job.ExecStream, error) {
	n := 0
	for _, a := range s.Argv {
		n += len(a) + 1
	}
	if len(s.Argv) == 0 || n > maxArgv {
		return nil, &market.Error{Code: market.CodeSpecRange, Kind: market.KindInvalid, Op: "exec",
			Detail: "a command of 1 byte to 64 KiB", Hint: "shorten it"}
	}
	o, err := ac.Observe(ctx, k)
	switch {
	case err != nil:
		return nil, err
	case o.State == job.PausedState:
		return nil, market.Refuse(market.CodePaused, market.KindConflict, "the job is paused")
	case o.State != job.Running:
		return nil, market.Refuse(market.CodeConflict, market.KindConflict, "the job does not run")
	}
	if !ac.takeExec(k) {
		return nil, market.Refuse(market.CodeBusy, market.KindUnavailable, fmt.Sprintf("at most %d at once", maxExecs))
	}
	cols, rows := uint16(0), uint16(0)
	if s.TTY {
		cols, rows = max(s.Cols, 1), max(s.Rows, 1)
		if s.Cols == 0 {
			cols, rows = 80, 24
		}
	}
	argv := helperArgv("exec", append([]string{strconv.Itoa(int(cols)), strconv.Itoa(int(rows)), "--"}, s.Argv...)...)
	opts := container.ExecOptions{AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: argv}
	if s.TTY {
		opts.Env = []string{"TERM=" + termOf(s.Term)}
	}
	x, err := ac.api.ContainerExecCreate(ctx, o.ContainerID, opts)
	if err != nil {
		ac.freeExec(k)
		return nil, engineError("exec", err)
	}
	conn, err := ac.api.ContainerExecAttach(ctx, x.ID, container.ExecAttachOptions{})
	if err != nil {
		ac.freeExec(k)
		return nil, engineError("exec", err)
	}
	return &execStream{ac: ac, id: x.ID, conn: conn, free: sync.OnceFunc(func() { ac.freeExec(k) })}, nil
}

var termName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// termOf is what a program may look up in its terminal data.
func termOf(name string) string {
	if !termName.MatchString(name) {
		return "xterm"
	}
	return name
}

func (ac *access) takeExec(k job.Key) bool {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	if ac.execs[k] >= maxExecs {
		return false
	}
	ac.execs[k]++
	return true
}

func (ac *access) freeExec(k job.Key) {
	ac.mu.Lock()
	defer ac.mu.Unlock()
	if ac.execs[k]--; ac.execs[k] <= 0 {
		delete(ac.execs, k)
	}
}

type execStream struct {
	ac   *access
	id   string
	conn types.HijackedResponse
	free func()
	mu   sync.Mutex // frames do not mix
}

func (s *execStream) frame(kind byte, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := guard.WriteFrame(s.conn.Conn, kind, b); err != nil {
		return fmt.Errorf("write to exec: %w", err)
	}
	return nil
}

// Write sends standard input.
func (s *execStream) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		part := b[:min(len(b), guard.MaxFrame)]
		if err := s.frame(guard.FrameData, part); err != nil {
			return n, err
		}
		n, b = n+len(part), b[len(part):]
	}
	return n, nil
}

// CloseWrite ends standard input; the command goes on.
func (s *execStream) CloseWrite() error { return s.frame(guard.FrameEnd, nil) }

// Resize sets the terminal's size.
func (s *execStream) Resize(cols, rows uint16) error {
	return s.frame(guard.FrameResize, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, cols), rows))
}

// Close ends the stream, on which the helper kills the command.
func (s *execStream) Close() error {
	s.conn.Close()
	s.free()
	return nil
}

// Output implements job.ExecStream. The exit code is the engine's word after the stream ended.
func (s *execStream) Output(f func(stream uint8, data []byte) error) (int, error) {
	defer s.free()
	cut := demux(s.conn.Reader, func(stream byte, b []byte) error { return f(stream, b) })
	// the engine hung up on input that the command had left unread
	if cut != nil && !errors.Is(cut, syscall.ECONNRESET) {
		return -1, fmt.Errorf("read from exec: %w", cut)
	}
	ctx, cancel := ask(s.ac.ctx)
	defer cancel()
	x, err := s.ac.api.ContainerExecInspect(ctx, s.id)
	if err != nil {
		return -1, engineError("exec", err)
	}
	if cut != nil && x.Running {
		return -1, fmt.Errorf("read from exec: %w", cut)
	}
	return x.ExitCode, nil
}
