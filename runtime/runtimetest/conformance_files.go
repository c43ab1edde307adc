package runtimetest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// linkedOutputs: hard links, also to what is not brought, and absolute links bring what they name.
func linkedOutputs(t *testing.T, b *bench) {
	b.finish(b.plan("write=/workspace/cache/blob:blob", "write=/workspace/out/a:data",
		"hard=/workspace/out/b:/workspace/out/a",
		"hard=/workspace/out/c:/workspace/cache/blob", "link=/workspace/out/latest:/workspace/out/a",
		"mkdir=/workspace/out/sub",
		"link=/workspace/out/sub/abs:/workspace/out/b", "link=/workspace/out/far:/workspace/cache/blob",
		"link=/workspace/out/cross:/workspace/more/x", "write=/workspace/more/x:more",
		"hard=/workspace/more/y:/workspace/out/a"))
	want := map[string]string{"out/a": "data", "out/b": "data", "out/c": "blob", "out/latest": "data",
		"out/sub/abs": "data"}
	for _, paths := range [][]string{{"/workspace/out"}, {"/workspace/more", "/workspace/out", "/workspace/out/sub"}} {
		m, dir := b.outputsOf(paths...)
		if len(paths) > 1 {
			want["more/x"], want["more/y"], want["out/cross"] = "more", "data", "more"
		}
		for name, text := range want {
			if raw, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(raw) != text {
				t.Errorf("%v: %s holds %q, %v", paths, name, raw, err)
			}
		}
		if left := map[int]int{1: 2, 3: 1}[len(paths)]; len(m.Skipped) != left || m.Skipped[left-1].Path != "out/far" {
			t.Errorf("%v: left out %v", paths, m.Skipped)
		}
	}
	if m, dir := b.outputsOf("/workspace"); m.LeftOut() != 0 { // then all of it is inside
		t.Errorf("left out %v", m.Skipped)
	} else if raw, err := os.ReadFile(dir + "/out/far"); err != nil || string(raw) != "blob" {
		t.Errorf("%q, %v", raw, err)
	}
}

func datedOutputs(t *testing.T, b *bench) {
	b.finish(b.plan("write=/workspace/out/run:x", "chmod=/workspace/out/run:750", "write=/workspace/out/old:x",
		"touch=/workspace/out/old:1",
		"mkdir=/workspace/out/empty", "touch=/workspace/out/empty:1600000000", "touch=/workspace/out/run:1500000000"))
	_, dir := b.outputsOf("/workspace/out")
	for name, want := range map[string]struct {
		mode os.FileMode
		unix int64
	}{"run": {0o750, 1500000000}, "empty": {0o755, 1600000000}, "old": {0o644, 315619200}} {
		info, err := os.Stat(filepath.Join(dir, "out", name))
		if err != nil || info.Mode().Perm() != want.mode || info.ModTime().Unix() != want.unix {
			t.Errorf("%s: %v; %+v", name, err, info)
		}
	}
}

func namedOutputs(t *testing.T, b *bench) {
	b.finish(b.plan("write=/workspace/out/a:x", "fifo=/workspace/out/pipe",
		"hard=/workspace/out/pipe2:/workspace/out/pipe", "link=/workspace/out/etc:/etc/passwd"))
	m, _ := b.outputsOf("/workspace/out")
	var names []string
	for _, s := range m.Skipped {
		if s.Why == "" {
			t.Errorf("%s is left out without a reason", s.Path)
		}
		names = append(names, s.Path)
	}
	if got := strings.Join(names, " "); len(names) != 3 || !strings.Contains(got, "out/etc") ||
		!strings.Contains(got, "out/pipe2") {
		t.Errorf("left out %q", got)
	}
	if miss := m.Missing([]string{"/workspace/out", "/workspace/none"}); len(miss) != 1 ||
		miss[0] != "/workspace/none" {
		t.Errorf("missing %v", miss)
	}
}

// datedInputs: what a customer's tar says of times, modes and links is so in the job; without a time it is none that
// breaks zip.
func datedInputs(t *testing.T, b *bench) {
	p := b.plan("stat=/workspace/in/run", "stat=/workspace/in/zero", "cat=/workspace/in/hard",
		"stat=/workspace/in/empty")
	p.Spec.Inputs = []spec.Input{{To: "/workspace/in"}}
	w := job.Want{Phase: job.WantRunning, Plan: p}
	b.until(w, job.Created)
	var raw bytes.Buffer
	tw := tar.NewWriter(&raw)
	for _, h := range []*tar.Header{
		{Name: "in/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "in/run", Typeflag: tar.TypeReg, Mode: 0o750, Size: 4, ModTime: time.Unix(1500000000, 0)},
		{Name: "in/zero", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "in/hard", Typeflag: tar.TypeLink, Linkname: "in/run"},
		{Name: "in/empty/", Typeflag: tar.TypeDir, Mode: 0o700, ModTime: time.Unix(1600000000, 0)},
		{Name: "in/pipe", Typeflag: tar.TypeFifo, Mode: 0o644},
	} {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, strings.Repeat("d", int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	fs, err := b.r.Files(b.ctx, b.k)
	if err != nil {
		t.Fatal(err)
	}
	m, err := fs.PutInputs(b.ctx, &raw, 1<<20)
	if err != nil || len(m.Skipped) != 1 || m.Skipped[0].Path != "in/pipe" {
		t.Fatalf("%v, left out %v", err, m.Skipped)
	}
	w.InputsReady = true
	b.until(w, job.Running)
	b.until(w, job.Exited)
	if got, want := b.text(), "750 1500000000\n644 315619200\ndddd700 1600000000\n"; got != want {
		t.Errorf("the job sees %q, want %q", got, want)
	}
}

func hostileOutputs(t *testing.T, b *bench) {
	b.finish(b.plan("write=/workspace/out/a:x", "link=/workspace/out/evil:/etc/passwd",
		"link=/workspace/out/up:../../etc/passwd", "link=/workspace/out/in:a"))
	m, dir := b.outputsOf("/workspace/out")
	if len(m.Skipped) != 2 {
		t.Errorf("skipped %v, want 2", m.Skipped)
	}
	if _, err := os.Lstat(dir + "/out/evil"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the link came through: %v", err)
	}
	if to, err := os.Readlink(dir + "/out/in"); err != nil || to != "a" {
		t.Errorf("inner link: %q, %v", to, err)
	}
}
