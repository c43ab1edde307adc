//go:build integration

package itest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// inputsTar holds one file without a time, a hard link to it, and a pipe.
func inputsTar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Name: "in/a", Typeflag: tar.TypeReg, Mode: 0o640, Size: 5},
		{Name: "in/b", Typeflag: tar.TypeLink, Linkname: "in/a"},
		{Name: "in/pipe", Typeflag: tar.TypeFifo},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "hello"[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFiles_OverARestart_AllNamesArriveAndTheRestIsNamed: a customer's node that is killed between an order and its
// inputs takes them after its start; links arrive both ways with their content; what cannot travel is named; the spool
// is small again.
func TestFiles_OverARestart_AllNamesArriveAndTheRestIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.seller(t)
	c := r.buyer(t)
	q := r.order("files", "cat=/workspace/in/b", "stat=/workspace/in/a", "write=/workspace/out/x:data",
		"hard=/workspace/out/y:/workspace/out/x",
		"link=/workspace/out/latest:/workspace/out/x", "fifo=/workspace/out/pipe",
		"link=/workspace/out/etc:/etc/passwd")
	q.Job.Inputs, q.InputBytes = []spec.Source{{From: "in", To: "/workspace/in"}}, 5
	q.Job.Outputs = []spec.Output{{Path: "/workspace/out"}, {Path: "/workspace/none"}}
	o, err := c.api.CreateOrder(t.Context(), q)
	if err != nil || o.Standing != "inputs" {
		t.Fatalf("%s, %v", o.Standing, err)
	}
	c.kill(t)
	c.start(t)
	c.sees(t)
	if again, err := c.api.CreateOrder(t.Context(), q); err != nil || again.ID != o.ID || again.Standing != "inputs" {
		t.Errorf("the same request again: %s %s, %v", again.ID, again.Standing, err)
	}
	if err := c.api.PutInputs(t.Context(), o.ID, bytes.NewReader(inputsTar(t))); err != nil {
		t.Fatalf("inputs after a restart: %v", err)
	}
	v := c.ended(t, o.ID)
	if v.Code != market.CodeCompleted {
		t.Fatalf("%s %s %s; %+v", v.Standing, v.Code, v.Detail, v.Steps)
	}
	if files := c.outputs(t, o.ID); files["out/x"] != "data" || !hasNames(files, "out/y", "out/latest") {
		t.Errorf("outputs hold %q", files)
	}
	var named []string
	for _, l := range v.LeftOut {
		named = append(named, l.Direction+" "+l.Path)
		if l.Reason == "" {
			t.Errorf("%s without a reason", l.Path)
		}
	}
	slices.Sort(named)
	if got := strings.Join(named,
		", "); got != "input /workspace/in/pipe, output /workspace/out/etc, output /workspace/out/pipe" {
		t.Errorf("left out: %s", got)
	}
	if strings.Join(v.MissingOutputs, " ") != "/workspace/none" {
		t.Errorf("missing: %v", v.MissingOutputs)
	}
	said := ""
	if _, err := c.api.Logs(t.Context(), o.ID, api.LogQuery{Follow: true},
		func(p api.LogPiece) error { said += string(p.Data); return nil }); err != nil {
		t.Error(err)
	}
	if said != "hello640 315619200\n" {
		t.Errorf("the job saw %q", said)
	}
	c.small(t, o.ID)
}

func hasNames(files map[string]string, names ...string) bool {
	for _, n := range names {
		if _, ok := files[n]; !ok {
			return false
		}
	}
	return true
}

// small fails unless the order's inputs are gone from the spool, its outputs count as fetched, and pruning frees them.
func (p *proc) small(t *testing.T, id string) {
	t.Helper()
	of := func(s api.Spool, err error) api.SpoolEntry {
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Entries {
			if e.Order == id {
				return e
			}
		}
		return api.SpoolEntry{}
	}
	if e := of(p.api.Spool(t.Context())); e.Inputs != 0 || e.Outputs == 0 || e.FetchedAt == nil {
		t.Errorf("spool %+v", e)
	}
	s, err := p.api.PruneSpool(t.Context(), api.SpoolPrune{Orders: []string{id}})
	if e := of(s, err); e.Outputs != 0 || s.Freed == 0 {
		t.Errorf("after pruning: %+v, freed %d", e, s.Freed)
	}
	if err := p.api.GetOutputs(t.Context(), id, false, io.Discard); market.CodeOf(err) != market.CodeNotFound {
		t.Errorf("pruned outputs: %v", err)
	}
	o, err := p.api.Order(t.Context(), id)
	if err != nil || o.OutputsReady || o.OutputsDroppedAt == nil {
		t.Errorf("ready %v, dropped %v, %v", o.OutputsReady, o.OutputsDroppedAt, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(p.log), "spool", id, "*.tar*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left on disk: %v, %v", left, errors.Join(err, os.ErrExist))
	}
}
