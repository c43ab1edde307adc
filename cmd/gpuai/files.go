package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// maxOutputs bounds what one order may write here; the node's spool has its own limit.
const maxOutputs = 1 << 40

// sendInputs streams local files to the node, which may not be able to read them itself.
func sendInputs(ctx context.Context, c *api.Client, id string, sources []spec.Source) error {
	r, w := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := spec.Pack(w, sources)
		_ = w.CloseWithError(err) // nil ends the archive
	})
	err := c.PutInputs(ctx, id, r)
	_ = r.CloseWithError(err) // wakes a packer that nobody reads
	wg.Wait()
	return err
}

// fetch brings each output to its place: /workspace/out:./out puts what is below out into ./out; a place that ends in / takes it inside.
func (a *App) fetch(ctx context.Context, c *api.Client, id string, outputs []spec.Output) error {
	for _, o := range outputs {
		if o.To == "" {
			continue
		}
		to := o.To
		if strings.HasSuffix(to, "/") {
			to = filepath.Join(to, path.Base(o.Path))
		}
		dir, name := filepath.Split(filepath.Clean(to))
		if name == "." || name == ".." {
			dir, name = to, ""
		}
		if dir == "" {
			dir = "."
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make output folder: %w", err)
		}
		m, err := receive(ctx, c, id, dir, place(o.Path, name))
		if err != nil {
			return fmt.Errorf("fetch %s: %w", o.Path, err)
		}
		if len(m.Entries) == 0 {
			a.say("output %s does not exist", o.Path)
		} else {
			a.say("output %s is in %s", o.Path, o.To)
		}
	}
	return nil
}

// place maps names in the archive, which are relative to /workspace, to names below the destination; name "" is the destination itself.
func place(output, name string) func(string) (string, bool) {
	rel := strings.TrimPrefix(strings.TrimPrefix(output, spec.Workspace), "/")
	return func(entry string) (string, bool) {
		rest, ok := entry, rel == ""
		if !ok {
			rest, ok = strings.CutPrefix(entry, rel)
			ok = ok && (rest == "" || rest[0] == '/')
		}
		out := path.Join(name, strings.TrimPrefix(rest, "/"))
		return out, ok && out != "" && out != "."
	}
}

// receive streams an order's outputs below dir; nothing is replaced unless all of it has come.
func receive(ctx context.Context, c *api.Client, id, dir string, rename func(string) (string, bool)) (spec.Manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return spec.Manifest{}, fmt.Errorf("open output folder: %w", err)
	}
	defer root.Close()
	r, w := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.CloseWithError(c.GetOutputs(ctx, id, w)) })
	got, err := spec.Receive(r, root, spec.Limits{Total: maxOutputs, Code: "output-too-big"}, rename)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the sender's error comes after the archive's end
		if err != nil {
			got.Discard()
		}
	}
	_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	wg.Wait()
	if err != nil {
		return spec.Manifest{}, err
	}
	return got.Manifest, got.Commit(got.Manifest.ID())
}
