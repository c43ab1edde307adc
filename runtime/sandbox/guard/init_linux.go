package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// gateSocket is abstract: it needs no directory of the image, and lives in the job's network namespace, where nothing
// else runs yet.
const gateSocket = "@gpuai-gate"

// passOn bounds how long init waits for the gate to pass its answer on.
const passOn = 2 * time.Second

// SignalEnd asks init to kill everything, hand over the rest of the log, and exit as killed; SIGKILL would lose what is
// in its pipes.
const SignalEnd = syscall.Signal(64)

// killed is the exit code of a job that was killed.
const killed = 128 + int(syscall.SIGKILL)

// Init is the first process of a job: it waits for the gate, then runs the command. capture: as a child whose signals,
// orphans and output it handles (see capture); else in its own place, for images that must be the first process: what
// they write then goes to the engine as it is. It returns the exit code.
func Init(supervise bool, argv []string, stderr io.Writer) int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals) // before anything else: a first process without a handler ignores signals
	say := func(words ...any) { fmt.Fprintln(stderr, words...) }
	var c *capture
	if supervise {
		var err error
		if c, err = newCapture(); err != nil {
			say("gpuai:", err)
			return ExitNotExecutable
		}
		say = c.say
		defer c.finish()
	}
	opened, err := waitGate(signals)
	if err != nil {
		say("gpuai: the gate was not opened:", err)
		return ExitNotOpened
	}
	name, code, err := lookup(argv)
	if err != nil {
		say("gpuai:", err)
		opened(GateResult{Exit: code, Detail: err.Error()})
		return code
	}
	env := restoreEnv(os.Environ())
	if !supervise {
		signal.Reset()
		opened(GateResult{Started: true}) // after exec nobody could say it
		err := syscall.Exec(name, argv, env)
		say("gpuai:", startError(argv[0], err))
		return ExitNotExecutable
	}
	pid, err := spawn(name, argv, env)
	if err != nil {
		err = startError(argv[0], err)
		say("gpuai:", err)
		opened(GateResult{Exit: ExitNotExecutable, Detail: err.Error()})
		return ExitNotExecutable
	}
	c.start()
	opened(GateResult{Started: true})
	code = supervised(pid, signals)
	killRest()
	return code
}

// answerGate tells the gate how it went and waits until the gate has passed it on, which it shows by closing: this
// process is the namespace's first one, and if it ended now, the kernel would kill the gate with the answer in its
// hand.
func answerGate(c net.Conn, r GateResult) {
	_ = c.SetDeadline(time.Now().Add(passOn))
	if json.NewEncoder(c).Encode(r) == nil {
		_, _ = c.Read(make([]byte, 1)) // the end, or the deadline: both end the wait
	}
	_ = c.Close()
}

// supervised forwards signals to the command and reaps every orphan, until the command itself is gone.
func supervised(pid int, signals <-chan os.Signal) int {
	for s := range signals {
		switch sig := s.(syscall.Signal); sig {
		case syscall.SIGCHLD:
			for {
				var ws syscall.WaitStatus
				got, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
				if errors.Is(err, syscall.EINTR) {
					continue
				}
				if err != nil || got <= 0 {
					break
				}
				if got != pid {
					continue
				}
				if ws.Signaled() {
					return 128 + int(ws.Signal())
				}
				return ws.ExitStatus()
			}
		case SignalEnd:
			return killed
		case syscall.SIGURG, syscall.SIGPIPE: // the Go runtime's own, and a closed log
		default:
			_ = syscall.Kill(pid, sig) // gone already: the next SIGCHLD says so
		}
	}
	return 0
}

// waitGate listens until a gate says open, and returns the function that answers it. A stop signal before that ends the
// wait.
func waitGate(signals <-chan os.Signal) (func(GateResult), error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: gateSocket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	deadline := time.Now().Add(GateTimeout)
	_ = l.SetDeadline(deadline)
	var listening sync.WaitGroup // ends with the listener, which is closed before the command runs
	listening.Go(func() {
		for {
			c, err := l.Accept()
			if err == nil {
				_ = c.SetDeadline(deadline)
				line, rerr := bufio.NewReader(c).ReadString('\n')
				if rerr != nil || line != "open\n" {
					_ = c.Close()
					continue
				}
			}
			ch <- accepted{c, err}
			return
		}
	})
	for {
		select {
		case a := <-ch:
			_ = l.Close()
			if a.err != nil {
				return nil, a.err
			}
			return func(r GateResult) { answerGate(a.c, r) }, nil
		case s := <-signals:
			if s == syscall.SIGTERM || s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGHUP ||
				s == SignalEnd {
				_ = l.Close()
				return nil, fmt.Errorf("stopped by %v", s)
			}
		}
	}
}

// lookup finds the command as a shell would, in PATH or by its path.
func lookup(argv []string) (string, int, error) {
	if len(argv) == 0 || argv[0] == "" {
		return "", ExitNotFound, errors.New("the image has no command and the job gives none")
	}
	dirs := []string{""}
	if !strings.Contains(argv[0], "/") {
		p := os.Getenv("PATH")
		if p == "" {
			p = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		}
		dirs = filepath.SplitList(p)
	}
	var denied error
	for _, d := range dirs {
		name := argv[0]
		if d != "" {
			name = filepath.Join(d, name)
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
		case info.IsDir() || info.Mode()&0o111 == 0:
			denied = fmt.Errorf("command is not executable: %s", name)
		default:
			return name, 0, nil
		}
	}
	if denied != nil {
		return "", ExitNotExecutable, denied
	}
	return "", ExitNotFound, fmt.Errorf("command not found: %s", argv[0])
}

func startError(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("command has no known format (a script needs a first line #!…): %s", name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the interpreter or library loader of the command is missing: %s", name)
	}
	return fmt.Errorf("start %s: %w", name, err)
}

func restoreEnv(env []string) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if rest, ok := strings.CutPrefix(kv, LDPrefix); ok {
			kv = rest
		}
		out = append(out, kv)
	}
	return out
}
