package spec

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

func root(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r, dir
}

type item struct {
	h    tar.Header
	body string
}

func archive(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		it.h.Size = int64(len(it.body))
		if it.h.Mode == 0 {
			it.h.Mode = 0o644
		}
		if err := w.WriteHeader(&it.h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, it.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPackUnpack_RoundTrip_SameIDAndContent(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for name, body := range map[string]string{"src/train.py": "print(1)", "src/a/b.txt": "", "src/skip.log": "x",
		"one.txt": "one"} {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"src/in": "a/b.txt", "src/out": "../one.txt",
		"src/abs": "/etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(src, link)); err != nil {
			t.Fatal(err)
		}
	}
	sources := []Source{
		{From: filepath.Join(src, "src"), To: "/workspace/src", Exclude: []string{"*.log"}},
		{From: filepath.Join(src, "one.txt"), To: "/workspace/in/renamed.txt"},
	}
	var b bytes.Buffer
	sent, err := Pack(&b, sources)
	if err != nil {
		t.Fatal(err)
	}
	if len(sent.Skipped) != 2 {
		t.Errorf("skipped %v, want the two links that leave", sent.Skipped)
	}
	if n, left, err := Measure(sources); err != nil || n != sent.Size() || n != 11 || left.LeftOut() != 2 {
		t.Errorf("measured %d, %v; manifest says %d", n, err, sent.Size())
	}
	dest, dir := root(t)
	got, err := Unpack(bytes.NewReader(b.Bytes()), dest, Limits{Total: 11})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sent.Entries, got.Entries); d != "" || got.ID() != sent.ID() {
		t.Errorf("manifests differ: %s", d)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "src/in")); err != nil || string(raw) != "" {
		t.Errorf("inner link: %q, %v", raw, err)
	}
	if raw, err := os.ReadFile(filepath.Join(dir, "in/renamed.txt")); err != nil || string(raw) != "one" {
		t.Errorf("file: %q, %v", raw, err)
	}
	var again bytes.Buffer
	filtered, err := Filter(bytes.NewReader(b.Bytes()), &again, Limits{Total: 11}, nil)
	if err != nil || filtered.ID() != sent.ID() || !bytes.Equal(again.Bytes(), b.Bytes()) {
		t.Errorf("filter changed a safe archive: %v", err)
	}
}

func TestReceive_HostileEntries_NothingLeavesTheRoot(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	if err := os.WriteFile(filepath.Join(outer, "victim"), []byte("intact"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(outer, "dest")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	dest, err := os.OpenRoot(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dest.Close() }()
	m, err := Unpack(bytes.NewReader(archive(t,
		item{tar.Header{Name: "../victim", Typeflag: tar.TypeReg}, "owned"},
		item{tar.Header{Name: filepath.Join(outer, "victim"), Typeflag: tar.TypeReg}, "owned"},
		item{tar.Header{Name: "a/../../victim", Typeflag: tar.TypeReg}, "owned"},
		item{tar.Header{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, ""},
		item{tar.Header{Name: "abs", Typeflag: tar.TypeSymlink, Linkname: outer}, ""},
		item{tar.Header{Name: "d/x", Typeflag: tar.TypeSymlink, Linkname: "../../victim"}, ""},
		item{tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "../victim"}, ""},
		item{tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""},
		item{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo}, ""},
		item{tar.Header{Name: ".gpuai-part-1", Typeflag: tar.TypeReg}, "x"},
		item{tar.Header{Name: "suid", Typeflag: tar.TypeReg, Mode: 0o6755}, "x"},
	)), dest, Limits{Total: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Entries) != 1 || m.Entries[0].Path != "suid" || m.Entries[0].Mode != 0o755 || len(m.Skipped) != 10 {
		t.Errorf("manifest %+v", m)
	}
	info, err := os.Stat(filepath.Join(inner, "suid"))
	if err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if raw, err := os.ReadFile(filepath.Join(outer, "victim")); err != nil || string(raw) != "intact" {
		t.Errorf("victim is %q, %v", raw, err)
	}
}

func TestReceive_LinkThenFileThroughIt_IsRefused(t *testing.T) {
	t.Parallel()
	dest, dir := root(t)
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(bytes.NewReader(archive(t,
		item{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "real"}, ""},
		item{tar.Header{Name: "l/f", Typeflag: tar.TypeReg}, "x"},
	)), dest, Limits{Total: 100})
	if err == nil {
		t.Error("a link and a directory of one name were accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, "real/f")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file went through the link: %v", err)
	}
}

func TestReceive_TooBigOrTwice_LeavesNoPart(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"big": archive(t, item{tar.Header{Name: "a", Typeflag: tar.TypeReg}, "12345"},
			item{tar.Header{Name: "b", Typeflag: tar.TypeReg}, "123456"}),
		"twice": archive(t, item{tar.Header{Name: "a", Typeflag: tar.TypeReg}, "1"},
			item{tar.Header{Name: "./a", Typeflag: tar.TypeReg}, "2"}),
		"cut": archive(t, item{tar.Header{Name: "a", Typeflag: tar.TypeReg}, "12345"})[:514],
	} {
		dest, dir := root(t)
		_, err := Receive(bytes.NewReader(raw), dest, Limits{Total: 10}, nil)
		switch {
		case err == nil:
			t.Errorf("%s: accepted", name)
		case name == "big" && market.CodeOf(err) != market.CodeInputTooBig, name == "twice" &&
			!errors.Is(err, ErrArchive):
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestCommit_WrongHash_ReplacesNothing(t *testing.T) {
	t.Parallel()
	dest, dir := root(t)
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := Receive(bytes.NewReader(archive(t, item{tar.Header{Name: "a", Typeflag: tar.TypeReg}, "new"})), dest,
		Limits{Total: 10}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Commit([32]byte{1}); market.CodeOf(err) != market.CodeInputHash {
		t.Errorf("commit: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	if raw, _ := os.ReadFile(filepath.Join(dir, "a")); string(raw) != "old" {
		t.Errorf("a is %q", raw)
	}
}

func TestPack_TwoInputsForOnePath_IsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Pack(io.Discard,
		[]Source{{From: filepath.Join(dir, "0"), To: "/workspace/x"},
			{From: filepath.Join(dir, "1"), To: "/workspace/x"}})
	if !errors.Is(err, ErrArchive) {
		t.Errorf("error %v", err)
	}
	if _, err := Pack(io.Discard, []Source{{From: dir, To: "/etc"}}); market.CodeOf(err) != market.CodeSpecPath {
		t.Errorf("outside /workspace: %v", err)
	}
}

func FuzzReceive(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "a/b", Typeflag: tar.TypeReg, Size: 1, Mode: 0o644})
	_, _ = w.Write([]byte("x"))
	_ = w.WriteHeader(&tar.Header{Name: "a/l", Typeflag: tar.TypeSymlink, Linkname: "b"})
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		var out bytes.Buffer
		m, err := Filter(bytes.NewReader(raw), &out, Limits{Total: 1 << 16}, nil)
		if err != nil {
			return
		}
		for _, e := range m.Entries {
			if strings.HasPrefix(e.Path, "/") || strings.Contains("/"+e.Path+"/", "/../") {
				t.Fatalf("unsafe entry %q", e.Path)
			}
		}
		again, err := Filter(bytes.NewReader(out.Bytes()), io.Discard, Limits{Total: 1 << 16}, nil)
		if err != nil || again.ID() != m.ID() {
			t.Fatalf("a filtered archive changes: %v", err)
		}
	})
}
