// Package sandbox holds what makes a container a sandbox for a stranger's job: the embedded static helper as an image
// of its own, the seccomp profile, and the fixed parts of the container profile.
//
// Invariants: equal sources give an image of equal bytes and id; nothing here talks to an engine. Concurrency: all
// functions are pure.
// Persistence: none. Next: Tools, Seccomp; inside the container: guard.
package sandbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/gpuai/gpuai/market"
)

//go:embed bin
var bin embed.FS

//go:embed seccomp.json
var seccomp string

// Places inside a job's container.
const (
	Dir    = "/.gpuai"        // read-only volume with the helper
	Helper = Dir + "/sandbox" // the static helper there
	inTool = "tools"          // directory of the helper in its own image
)

// ImageName is the name of the helper's image; its tag is the image id's first characters.
const ImageName = "gpuai-tools"

// Seccomp returns the profile's JSON text, as the engine's API wants it.
func Seccomp() string { return strings.TrimSpace(seccomp) }

// Tools is the helper's image as an archive for the engine's image load. Config is its id in the classic image store,
// Manifest in the containerd store; both "sha256:…". The image's helper lies in Path.
type Tools struct {
	Archive          []byte
	Config, Manifest string
	Name             string // repository:tag
	Dir              string // holds the helper inside the image
}

// Binary returns the static helper. Errors: *market.Error sandbox-missing if this program was built without it.
func Binary() ([]byte, error) {
	zipped, err := bin.ReadFile("bin/sandbox.gz")
	if err != nil {
		return nil, &market.Error{
			Code: market.CodeSandboxMissing, Kind: market.KindUnavailable, Op: "read sandbox binary",
			Detail: "sandbox binary missing", Hint: "run make build",
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, fmt.Errorf("read sandbox binary: %w", err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read sandbox binary: %w", err)
	}
	return b, nil
}

// ToolsImage builds the helper's image in memory. Errors: as Binary.
func ToolsImage() (Tools, error) {
	b, err := Binary()
	if err != nil {
		return Tools{}, err
	}
	layer := tarOf(entry{inTool + "/", 0o755, nil}, entry{inTool + "/sandbox", 0o555, b})
	diff := digest(layer)
	config := mustJSON(map[string]any{
		"created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
		"config":  map[string]any{"Entrypoint": []string{"/" + inTool + "/sandbox"}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diff}},
		"history": []any{map[string]any{"created": "1970-01-01T00:00:00Z", "created_by": "gpuai"}},
	})
	cid := digest(config)
	const mt = "application/vnd.oci.image."
	manifest := mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": mt + "manifest.v1+json",
		"config": map[string]any{"mediaType": mt + "config.v1+json", "digest": cid, "size": len(config)},
		"layers": []any{map[string]any{"mediaType": mt + "layer.v1.tar", "digest": diff, "size": len(layer)}},
	})
	mid := digest(manifest)
	name := ImageName + ":" + hexOf(cid)[:12]
	index := mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": mt + "index.v1+json",
		"manifests": []any{map[string]any{
			"mediaType": mt + "manifest.v1+json", "digest": mid, "size": len(manifest),
			"annotations": map[string]string{"io.containerd.image.name": "docker.io/library/" + name,
				"org.opencontainers.image.ref.name": hexOf(cid)[:12]},
		}},
	})
	classic := mustJSON([]any{map[string]any{
		"Config": blob(cid), "RepoTags": []string{name}, "Layers": []string{blob(diff)},
	}})
	archive := tarOf(
		entry{"blobs/", 0o755, nil}, entry{"blobs/sha256/", 0o755, nil},
		entry{blob(cid), 0o444, config}, entry{blob(diff), 0o444, layer}, entry{blob(mid), 0o444, manifest},
		entry{"index.json", 0o444, index}, entry{"manifest.json", 0o444, classic},
		entry{"oci-layout", 0o444, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
	)
	return Tools{Archive: archive, Config: cid, Manifest: mid, Name: name, Dir: "/" + inTool}, nil
}

type entry struct {
	name string
	mode int64
	body []byte
}

// tarOf writes entries to memory, where nothing can fail.
func tarOf(entries ...entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.body)), Typeflag: tar.TypeReg,
			Format: tar.FormatUSTAR}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		_ = w.WriteHeader(h)
		_, _ = w.Write(e.body)
	}
	_ = w.Close()
	return b.Bytes()
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

func hexOf(d string) string { return strings.TrimPrefix(d, "sha256:") }
func blob(d string) string  { return "blobs/sha256/" + hexOf(d) }

// mustJSON marshals maps of strings and numbers, which cannot fail.
func mustJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}
