package demo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/cmd/gpuai/demo/check"
	"github.com/gpuai/gpuai/runtime/spec"
)

// render runs the sample job as a process on a small scene and packs its outputs as the node does.
func render(t *testing.T, scene []byte) (archive []byte, root string, dir string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "sample")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/gpuai/gpuai/cmd/sample")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err := errors.Join(os.Mkdir(filepath.Join(dir, "in"), 0o755),
		os.WriteFile(filepath.Join(dir, "in", "scene.txt"), scene, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), bin, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	archive, root = pack(t, dir)
	return archive, root, dir
}

func pack(t *testing.T, dir string) ([]byte, string) {
	t.Helper()
	var tar bytes.Buffer
	m, err := spec.Pack(&tar, []spec.Source{{From: filepath.Join(dir, "out"), To: "/workspace/out"}})
	if err != nil {
		t.Fatal(err)
	}
	id := m.ID()
	return tar.Bytes(), hex.EncodeToString(id[:])
}

// small is the default scene with few pixels and samples.
func small(t *testing.T) []byte {
	t.Helper()
	var out []string
	for line := range strings.Lines(string(check.DefaultScene)) {
		switch f := strings.Fields(line); {
		case len(f) > 0 && f[0] == "size":
			line = "size 48 32\n"
		case len(f) > 0 && f[0] == "samples":
			line = "samples 2\n"
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, ""))
}

func TestDemo_CorruptOutputFails(t *testing.T) {
	t.Parallel()
	scene := small(t)
	archive, root, dir := render(t, scene)
	r := &run{o: Options{Scene: scene}}
	picture, report, err := r.verify(archive, root)
	if err != nil || len(picture) == 0 || report.Width == 0 {
		t.Fatalf("good outputs: %d bytes, %+v, %v", len(picture), report, err)
	}
	if _, _, err := r.verify(archive, strings.Repeat("0", 64)); err == nil ||
		!strings.Contains(err.Error(), "both signed") {
		t.Errorf("another root: %v", err)
	}
	flipped := bytes.Clone(archive)
	flipped[bytes.Index(archive, []byte("IDAT"))+40] ^= 1
	if _, _, err := r.verify(flipped, root); err == nil {
		t.Error("a flipped byte of the picture passed against the signed root")
	}
	// A provider that signs what it did not compute: another scene's picture under a matching root.
	other := &run{o: Options{Scene: append(bytes.Clone(scene), '\n')}}
	if _, _, err := other.verify(archive, root); err == nil {
		t.Error("outputs of another input passed")
	}
	png := filepath.Join(dir, "out", "frame.png")
	b, err := os.ReadFile(png)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(png, b, 0o644); err != nil {
		t.Fatal(err)
	}
	archive, root = pack(t, dir)
	if _, _, err := r.verify(archive, root); err == nil {
		t.Error("a changed picture passed though its root was signed")
	}
}
