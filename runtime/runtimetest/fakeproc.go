package runtimetest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

// fakeFile is a file, folder, pipe or symlink, by its tar type. Names that share one are hard links.
type fakeFile struct {
	flag   byte
	data   []byte
	target string
	mode   int64
	at     time.Time
}

func newFakeFile(flag byte, data []byte, target string) *fakeFile {
	mode := map[byte]int64{tar.TypeDir: 0o755, tar.TypeSymlink: 0o777}[flag]
	if mode == 0 {
		mode = 0o644
	}
	return &fakeFile{flag: flag, data: data, target: target, mode: mode, at: time.Now()}
}

// errKilled ends a fake process.
var errKilled = errors.New("killed")

// fakeProc interprets steps, as the job itself or as an exec of it.
type fakeProc struct {
	j      *fakeJob
	stdin  io.Reader
	out    func(stream uint8, data []byte) // nil: the job's log
	closed func() bool                     // an exec's client left
	size   [2]uint16
}

// run returns the exit code: 137 when killed, 143 when ended by SIGTERM.
func (p *fakeProc) run(steps []string) int {
	for _, s := range steps {
		verb, arg, _ := strings.Cut(s, "=")
		code, err := p.step(verb, arg)
		switch {
		case errors.Is(err, errKilled):
			p.j.f.mu.Lock()
			defer p.j.f.mu.Unlock()
			if p.j.exit == 143 {
				return 143
			}
			return 137
		case err != nil:
			_ = p.write(2, verb+": "+err.Error()+"\n")
			return 1
		case code >= 0:
			return code
		}
	}
	return 0
}

// step returns a code ≥ 0 to exit.
func (p *fakeProc) step(verb, arg string) (int, error) {
	if err := p.until(func() bool { return true }); err != nil {
		return -1, err
	}
	switch verb {
	case "echo":
		return -1, p.write(1, arg+"\n")
	case "err":
		return -1, p.write(2, arg+"\n")
	case "exit":
		return atoi(arg)
	case "sleep":
		d, err := time.ParseDuration(arg)
		if err != nil {
			return -1, err
		}
		return -1, p.sleep(d)
	case "forever":
		return -1, p.until(func() bool { return false })
	case "ticks":
		for i := 0; ; i++ {
			if err := errors.Join(p.write(1, fmt.Sprintf("tick %d\n", i)), p.sleep(10*time.Millisecond)); err != nil {
				return -1, err
			}
		}
	case "term":
		p.set(func(j *fakeJob) { j.terms = true })
		if err := errors.Join(p.write(1, "ready\n"), p.until(func() bool { return p.j.termed }),
			p.write(1, "terminated\n")); err != nil {
			return -1, err
		}
		return atoi(arg)
	case "deaf":
		p.set(func(j *fakeJob) { j.deaf = true })
		return -1, p.write(1, "ready\n")
	}
	return p.fileStep(verb, arg)
}

func atoi(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1, err
	}
	return n, nil
}

func (p *fakeProc) fileStep(verb, arg string) (int, error) {
	switch verb {
	case "cat":
		var data []byte
		var ok bool
		p.set(func(j *fakeJob) {
			if file := j.files[path.Clean(arg)]; file != nil {
				data, ok = file.data, true
			}
		})
		if !ok {
			return -1, fmt.Errorf("open %s: %w", arg, os.ErrNotExist)
		}
		return -1, p.write(1, string(data))
	case "write", "link", "mkdir", "fifo", "hard", "chmod", "touch", "stat":
		return p.treeStep(verb, arg)
	case "fill":
		name, text, _ := strings.Cut(arg, ":")
		n, err := atoi(text)
		if err != nil {
			return -1, err
		}
		p.set(func(j *fakeJob) {
			j.files[path.Clean(name)] = newFakeFile(tar.TypeReg, bytes.Repeat([]byte("x"), n), "")
			j.checkDisk()
		})
	case "stdin":
		b, err := io.ReadAll(p.in())
		if err != nil {
			return -1, err
		}
		return -1, p.write(1, string(b))
	case "line":
		s, err := bufio.NewReader(p.in()).ReadString('\n')
		if err != nil {
			return -1, err
		}
		return -1, p.write(1, "got "+s)
	case "size":
		return -1, p.write(1, fmt.Sprintf("%dx%d\n", p.size[0], p.size[1]))
	case "env":
		var v string
		p.set(func(j *fakeJob) { v = j.plan.Spec.Env[arg] })
		return -1, p.write(1, arg+"="+v+"\n")
	default:
		return -1, errors.New("unknown step")
	}
	return -1, nil
}

// treeStep changes the tree, or says what stands there.
func (p *fakeProc) treeStep(verb, arg string) (code int, err error) {
	name, text, _ := strings.Cut(arg, ":")
	name = path.Clean(name)
	said := ""
	p.set(func(j *fakeJob) {
		file, n := j.files[name], int64(0)
		switch verb {
		case "write":
			j.files[name] = newFakeFile(tar.TypeReg, []byte(text), "")
		case "link":
			j.files[name] = newFakeFile(tar.TypeSymlink, nil, text)
		case "mkdir":
			j.files[name] = newFakeFile(tar.TypeDir, nil, "")
		case "fifo":
			j.files[name] = newFakeFile(tar.TypeFifo, nil, "")
		case "hard":
			if file = j.files[path.Clean(text)]; file != nil {
				j.files[name] = file
			}
		case "chmod":
			if n, err = strconv.ParseInt(text, 8, 64); err == nil && file != nil {
				file.mode = n
			}
		case "touch":
			if n, err = strconv.ParseInt(text, 10, 64); err == nil && file != nil {
				file.at = time.Unix(n, 0)
			}
		case "stat":
			if file != nil {
				said = fmt.Sprintf("%o %d\n", file.mode, file.at.Unix())
			}
		}
		if file == nil && verb != "write" && verb != "link" && verb != "mkdir" && verb != "fifo" {
			err = fmt.Errorf("%s %s: %w", verb, arg, os.ErrNotExist)
		}
	})
	if err == nil && said != "" {
		err = p.write(1, said)
	}
	return -1, err
}

func (p *fakeProc) in() io.Reader {
	if p.stdin == nil {
		return strings.NewReader("")
	}
	return p.stdin
}

func (p *fakeProc) set(f func(*fakeJob)) {
	p.j.f.mu.Lock()
	defer p.j.f.mu.Unlock()
	f(p.j)
}

func (p *fakeProc) gone() bool { return p.j.killed || p.out != nil && (p.j.over || p.closed()) }

// until waits while frozen or not ready; ready is asked under the lock.
func (p *fakeProc) until(ready func() bool) error {
	p.j.f.mu.Lock()
	defer p.j.f.mu.Unlock()
	return p.untilLocked(ready)
}

func (p *fakeProc) untilLocked(ready func() bool) error {
	for {
		if p.gone() {
			return errKilled
		}
		if !p.j.frozen && ready() {
			return nil
		}
		p.j.f.cond.Wait()
	}
}

func (p *fakeProc) sleep(d time.Duration) error {
	end := time.Now().Add(d)
	t := time.AfterFunc(d, func() { // the lock makes the wake-up come after the wait began
		p.j.f.mu.Lock()
		p.j.f.cond.Broadcast()
		p.j.f.mu.Unlock()
	})
	defer t.Stop()
	return p.until(func() bool { return !time.Now().Before(end) })
}

func (p *fakeProc) write(stream uint8, s string) error {
	p.j.f.mu.Lock()
	if err := p.untilLocked(func() bool { return true }); err != nil {
		p.j.f.mu.Unlock()
		return err
	}
	if p.out == nil {
		defer p.j.f.mu.Unlock()
		for chunk := range slices.Chunk([]byte(s), 16<<10) {
			at := uint64(0)
			if n := len(p.j.logs); n > 0 {
				at = p.j.logs[n-1].Next()
			}
			p.j.logs = append(p.j.logs, job.LogRecord{Offset: at, Time: p.j.f.now(), Stream: stream, Data: chunk})
		}
		p.j.f.cond.Broadcast()
		return nil
	}
	p.j.f.mu.Unlock()
	p.out(stream, []byte(s)) // a slow reader of an exec must not hold the lock
	return nil
}
