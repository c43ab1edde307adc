package runtimetest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Logs implements job.Access.
func (f *Fake) Logs(ctx context.Context, k job.Key, from uint64, follow bool, fn func(job.LogRecord) error) (job.LogEnd,
	error) {
	f.mu.Lock()
	logs, have := f.faults.logs, f.jobs[k] != nil && f.jobs[k].created
	f.mu.Unlock()
	if logs != nil && have {
		return logs(ctx, from, fn)
	}
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		f.cond.Broadcast()
		f.mu.Unlock()
	})
	defer stop()
	end := job.LogEnd{Total: from}
	for n := 0; ; {
		f.mu.Lock()
		j := f.jobs[k]
		if j == nil || !j.created {
			f.mu.Unlock()
			return end, refuseNotFound("read logs")
		}
		for follow && n == len(j.logs) && !j.over && !j.removed && ctx.Err() == nil {
			f.cond.Wait()
		}
		todo := slices.Clone(j.logs[n:])
		n = len(j.logs)
		end.Over = j.over || j.removed
		end.Whole = end.Over
		f.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return end, err
		}
		for _, r := range todo {
			if r.Next() <= end.Total {
				continue
			}
			r.Data = r.Data[max(end.Total, r.Offset)-r.Offset:]
			r.Offset = max(end.Total, r.Offset)
			if err := fn(r); err != nil {
				return end, err
			}
			end.Total = r.Next()
		}
		if !follow || end.Over && len(todo) == 0 {
			return end, nil
		}
	}
}

// Exec implements job.Access.
func (f *Fake) Exec(ctx context.Context, k job.Key, s job.ExecSpec) (job.ExecStream, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := f.jobs[k]
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case j == nil || !j.started || j.over:
		return nil, market.Refuse(market.CodeConflict, market.KindConflict, "the job does not run")
	case j.frozen:
		return nil, market.Refuse(market.CodePaused, market.KindConflict, "the job is paused")
	case len(s.Argv) == 0:
		return nil, &market.Error{Code: market.CodeSpecRange, Kind: market.KindInvalid, Op: "exec",
			Detail: "no command",
			Hint:   "name a command"}
	}
	x := &fakeExec{f: f, out: make(chan job.LogRecord, 256), done: make(chan struct{})}
	x.inR, x.inW = io.Pipe()
	p := &fakeProc{j: j, stdin: x.inR, size: [2]uint16{s.Cols, s.Rows}}
	p.closed = func() bool { return x.closed }
	p.out = func(stream uint8, b []byte) {
		select {
		case x.out <- job.LogRecord{Stream: stream, Data: b}:
		case <-x.done:
		}
	}
	argv := s.Argv
	f.wg.Go(func() {
		code := 127
		if argv[0] == TestJob {
			code = p.run(argv[1:])
		} else {
			p.out(2, []byte("gpuai: command not found: "+argv[0]+"\n"))
		}
		_ = x.inR.CloseWithError(io.ErrClosedPipe) // a writer that is left ends
		x.code = code
		close(x.out)
	})
	return x, nil
}

type fakeExec struct {
	f      *Fake
	inR    *io.PipeReader
	inW    *io.PipeWriter
	out    chan job.LogRecord
	done   chan struct{}
	once   sync.Once
	closed bool // guarded by f
	code   int  // valid once out is closed
}

// Write implements job.ExecStream. Input of a command that has ended is dropped, as an engine does.
func (x *fakeExec) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if n, err := x.inW.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return n, err
	}
	return len(b), nil
}

// CloseWrite implements job.ExecStream.
func (x *fakeExec) CloseWrite() error { return x.inW.Close() }

// Resize implements job.ExecStream; the fake has no terminal to change.
func (x *fakeExec) Resize(uint16, uint16) error { return nil }

// Close implements job.ExecStream.
func (x *fakeExec) Close() error {
	x.once.Do(func() {
		x.f.mu.Lock()
		x.closed = true
		x.f.cond.Broadcast()
		x.f.mu.Unlock()
		close(x.done)
		_ = x.inW.Close()
	})
	return nil
}

// Output implements job.ExecStream.
func (x *fakeExec) Output(f func(stream uint8, data []byte) error) (int, error) {
	for r := range x.out {
		if err := f(r.Stream, r.Data); err != nil {
			return -1, err
		}
	}
	return x.code, nil
}

// Files implements job.Access.
func (f *Fake) Files(_ context.Context, k job.Key) (job.FileStore, error) {
	return fakeFiles{f, k}, nil
}

type fakeFiles struct {
	f *Fake
	k job.Key
}

// job returns the key's job if its state is want.
func (s fakeFiles) job(want job.State) (*fakeJob, error) {
	j := s.f.jobs[s.k]
	if j == nil || !j.created {
		return nil, refuseNotFound("move files")
	}
	if j.see().State != want {
		return nil, market.Refuse(market.CodeConflict, market.KindConflict,
			"files move before the start and after the end only")
	}
	return j, nil
}

// PutInputs implements job.FileStore.
func (s fakeFiles) PutInputs(ctx context.Context, in io.Reader, limit uint64) (spec.Manifest, error) {
	var safe bytes.Buffer
	m, err := spec.Filter(in, &safe, spec.Limits{Total: limit}, nil)
	if err != nil {
		return spec.Manifest{}, err
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	j, err := s.job(job.Created)
	if err != nil {
		return spec.Manifest{}, err
	}
	tr := tar.NewReader(&safe)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return m, ctx.Err()
		}
		if err != nil {
			return spec.Manifest{}, err
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return spec.Manifest{}, err
		}
		name := spec.Workspace + "/" + strings.TrimSuffix(h.Name, "/")
		if h.Typeflag == tar.TypeLink {
			j.files[name] = j.files[spec.Workspace+"/"+h.Linkname]
			continue
		}
		j.files[name] = &fakeFile{flag: h.Typeflag, data: b, target: h.Linkname, mode: h.Mode, at: h.ModTime}
	}
}

// GetOutputs implements job.FileStore.
func (s fakeFiles) GetOutputs(ctx context.Context, paths []string, w io.Writer) (spec.Manifest, error) {
	s.f.mu.Lock()
	j, err := s.job(job.Exited)
	if gone := s.f.faults.gone; gone != nil {
		err = gone
	}
	if err != nil {
		s.f.mu.Unlock()
		return spec.Manifest{}, err
	}
	files := map[string]fakeFile{}
	first := map[*fakeFile]string{}
	links := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(j.files)) {
		rel, inside := strings.CutPrefix(name, spec.Workspace+"/")
		if !inside || !slices.ContainsFunc(paths, func(p string) bool {
			return name == p ||
				strings.HasPrefix(name, p+"/")
		}) {
			continue
		}
		f := j.files[name]
		if one, again := first[f]; again {
			links[rel] = one
		} else {
			first[f] = rel
		}
		files[rel] = *f
	}
	s.f.mu.Unlock()
	var raw bytes.Buffer
	tw := tar.NewWriter(&raw)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		h := &tar.Header{Typeflag: f.flag, Name: name, Linkname: f.target, Mode: f.mode, Size: int64(len(f.data)),
			ModTime: f.at}
		if one := links[name]; one != "" && f.flag != tar.TypeDir {
			h.Typeflag, h.Linkname, h.Size, f.data = tar.TypeLink, one, 0, nil
		}
		if err := tw.WriteHeader(h); err != nil {
			return spec.Manifest{}, err
		}
		if _, err := tw.Write(f.data); err != nil {
			return spec.Manifest{}, err
		}
	}
	if err := errors.Join(tw.Close(), ctx.Err()); err != nil {
		return spec.Manifest{}, err
	}
	return spec.Filter(&raw, w, spec.Limits{Total: 1 << 40, Code: market.CodeOutputTooBig},
		func(name string) (string, bool) {
			full := spec.Workspace + "/" + name
			return name, slices.ContainsFunc(paths, func(p string) bool {
				return full == p ||
					strings.HasPrefix(full, p+"/")
			})
		})
}
