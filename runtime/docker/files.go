package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// maxOutputs bounds what a job can make us send; the granted disk is smaller.
const maxOutputs = 8 << 40

type files struct {
	*jobs
	k job.Key
}

// Files implements job.Access. Files move through the engine's archive calls, and only while no process of the job
// exists, so that none can race a path.
func (ac *access) Files(_ context.Context, k job.Key) (job.FileStore, error) {
	return files{ac.jobs, k}, nil
}

func (f files) container(ctx context.Context, want job.State) (*container.InspectResponse, error) {
	r, err := f.rows.load(ctx, f.k)
	if err != nil {
		return nil, err
	}
	c, err := f.inspect(ctx, f.name(f.k, "job"))
	if err != nil {
		return nil, engineError("look at job", err)
	}
	if c == nil || r.Handle.JobID != c.ID {
		return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "move files",
			Detail: "the job has no container", Hint: "gpuai ps"}
	}
	if s := see(r, c).State; s != want && (s != job.FailedState || c.State.Running) {
		return nil, market.Refuse(market.CodeConflict, market.KindConflict,
			"files move before the start and after the end only")
	}
	return c, nil
}

// PutInputs implements job.FileStore.
func (f files) PutInputs(ctx context.Context, in io.Reader, limit uint64) (spec.Manifest, error) {
	c, err := f.container(ctx, job.Created)
	if err != nil {
		return spec.Manifest{}, err
	}
	uid, gid, err := f.idsOf(ctx, c.ID, c.Config.User)
	if err != nil {
		return spec.Manifest{}, engineError("find owner", err)
	}
	safeR, safeW := io.Pipe()
	ownR, ownW := io.Pipe()
	var m spec.Manifest
	var ferr error
	var wg sync.WaitGroup
	wg.Go(func() {
		m, ferr = spec.Filter(in, safeW, spec.Limits{Total: limit}, nil)
		_ = safeW.CloseWithError(ferr)
	})
	wg.Go(func() {
		err := own(safeR, ownW, uid, gid)
		_ = ownW.CloseWithError(err)
		_ = safeR.CloseWithError(err) // a filter that still writes ends
	})
	cerr := f.api.CopyToContainer(ctx, c.ID, spec.Workspace, ownR, container.CopyToContainerOptions{})
	_ = ownR.CloseWithError(errors.Join(cerr, io.ErrClosedPipe))
	wg.Wait()
	switch {
	case ferr != nil && !errors.Is(ferr, io.ErrClosedPipe):
		return spec.Manifest{}, ferr
	case cerr != nil:
		return spec.Manifest{}, engineError("write inputs", cerr)
	}
	return m, ferr
}

// own gives every entry to the job's user.
func own(r io.Reader, w io.Writer, uid, gid int) error {
	tr, tw := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return tw.Close()
		}
		if err != nil {
			return fmt.Errorf("read inputs: %w", err)
		}
		h.Uid, h.Gid = uid, gid
		if err := tw.WriteHeader(h); err != nil {
			return fmt.Errorf("write inputs: %w", err)
		}
		if _, err := io.Copy(tw, tr); err != nil {
			return fmt.Errorf("write inputs: %w", err)
		}
	}
}

// GetOutputs implements job.FileStore. A path that does not exist gives no entry.
func (f files) GetOutputs(ctx context.Context, paths []string, w io.Writer) (spec.Manifest, error) {
	c, err := f.container(ctx, job.Exited)
	if err != nil {
		return spec.Manifest{}, err
	}
	out := spec.NewWriter(w, spec.Limits{Total: maxOutputs, Code: market.CodeOutputTooBig})
	paths = outermost(paths)
	for _, p := range paths {
		if err := f.output(ctx, c.ID, p, paths, out); err != nil {
			return spec.Manifest{}, fmt.Errorf("read outputs: %w", err)
		}
	}
	return out.Close()
}

// outermost leaves out paths that lie below others, and repeats. Each of the rest is read by itself, so a hard link
// never names a file that is not part of it.
func outermost(paths []string) (out []string) {
	for _, p := range slices.Compact(slices.Sorted(slices.Values(paths))) {
		if !slices.ContainsFunc(out, func(o string) bool { return below(p, o) }) {
			out = append(out, p)
		}
	}
	return out
}

func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// output adds one output path. One that is a link itself brings what it points to, if that is below /workspace.
func (f files) output(ctx context.Context, id, p string, all []string, out *spec.Writer) error {
	rc, stat, err := f.open(ctx, id, p)
	if rc == nil {
		return err
	}
	from := p
	if stat.Mode&fs.ModeSymlink != 0 {
		_ = rc.Close() // the link alone
		if from = stat.LinkTarget; !below(from, spec.Workspace) {
			out.Skip(spec.InWorkspace(p), "it is a link to "+from+", which is not below "+spec.Workspace)
			return nil
		}
		if rc, _, err = f.open(ctx, id, from); rc == nil {
			return err
		}
	}
	return errors.Join(out.Add(rc, path.Dir(from), placed(from, p, all)), rc.Close())
}

// open starts the engine's tar of a path; none: the container is there, the path is not.
func (f files) open(ctx context.Context, id, from string) (io.ReadCloser, container.PathStat, error) {
	rc, stat, err := f.api.CopyFromContainer(ctx, id, from)
	if !notFound(err) {
		if err != nil {
			return nil, stat, engineError("read outputs", err)
		}
		return rc, stat, nil
	}
	if _, err := f.container(ctx, job.Exited); err != nil {
		return nil, stat, err
	}
	return nil, stat, nil
}

// placed maps the engine's names, which begin with the last element of from, to paths below /workspace, with from at
// the place of p. Links may point into any other output too.
func placed(from, p string, all []string) spec.Rename {
	return func(name string) (string, bool) {
		full := path.Join(path.Dir(from), name)
		if below(full, from) {
			return spec.InWorkspace(path.Join(p, strings.TrimPrefix(full, from))), true
		}
		ok := slices.ContainsFunc(all, func(o string) bool { return below(full, o) })
		return spec.InWorkspace(full), ok
	}
}
