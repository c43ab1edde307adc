package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gpuai/gpuai/market"
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

// fetch brings each output to its place: /workspace/out:./out puts what is below out into ./out; a place that ends in /
// takes it inside. It goes on after an output that cannot be brought, and returns all errors; the archive stays with
// the node.
//
// held: also what "when: success" holds back.
func (a *App) fetch(ctx context.Context, c *api.Client, o *api.Order, held bool) (all error) {
	for _, out := range o.Outputs {
		if out.To == "" || out.LeftOut != "" && !held || slices.Contains(o.MissingOutputs, out.Path) {
			continue
		}
		dir, name := target(out)
		err := os.MkdirAll(dir, 0o755)
		var m spec.Manifest
		if err == nil {
			m, err = receive(ctx, c, o.ID, held, dir, place(out.Path, name))
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			all = both(all, fmt.Errorf("fetch %s: %w", out.Path, bringAgain(err, *o)))
		case len(m.Entries) == 0: // a node of an older version does not say so
			o.MissingOutputs = append(o.MissingOutputs, out.Path)
		default:
			a.say("output %s is in %s: %s", out.Path, out.To, brought(m))
		}
		for _, s := range m.Skipped { // what the node holds and this machine cannot take
			a.say("left out  %s: %s", filepath.Join(out.To, clean(s.Path)), clean(s.Why))
		}
		if m.LeftOut() > 0 {
			all = both(all, leftOutError(market.CodeOutputLeftOut, fmt.Sprintf("%d of %s", m.LeftOut(), out.Path), *o))
		}
	}
	return all
}

// target is the folder that an output is written to, and its name there; "" is the folder itself.
func target(o api.Output) (dir, name string) {
	to := o.To
	if strings.HasSuffix(to, "/") || strings.HasSuffix(to, string(filepath.Separator)) {
		to = filepath.Join(to, path.Base(o.Path))
	}
	dir, name = filepath.Split(filepath.Clean(to))
	if name == "." || name == ".." {
		dir, name = to, ""
	}
	return or(dir, "."), name
}

// brought counts files and bytes.
func brought(m spec.Manifest) string {
	files := 0
	for _, e := range m.Entries {
		if e.Type != "dir" {
			files++
		}
	}
	return count(files, "file", "files") + ", " + megabytes(m.Size())
}

// bringAgain names the command that tries again.
func bringAgain(err error, o api.Order) error {
	var e *market.Error
	if errors.As(err, &e) && e.Code == market.CodeDiskFull {
		e.Hint = "free some space, then: gpuai outputs " + word(o)
	}
	return err
}

// place maps names in the archive, which are relative to /workspace, to names below the destination; name "" is the
// destination itself.
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
func receive(ctx context.Context, c *api.Client, id string, held bool, dir string,
	rename func(string) (string, bool)) (spec.Manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return spec.Manifest{}, fmt.Errorf("open output folder: %w", err)
	}
	defer root.Close()
	r, w := io.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.CloseWithError(c.GetOutputs(ctx, id, held, w)) })
	got, err := spec.Receive(r, root, spec.Limits{Total: maxOutputs, Code: market.CodeOutputTooBig}, rename)
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
