package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/runtime/spec"
)

// Config is what an image says about itself.
type Config struct {
	Entrypoint, Cmd, Env []string
	WorkingDir, User     string
	Volumes              []string
}

// Image is one of a single layer for linux/amd64. Files: path, without a leading slash, to content, of mode 0755; one
// that ends in a slash is a folder, and tmp/ is everybody's. Links: path to target.
type Image struct {
	Files map[string][]byte
	Links map[string]string
	Config
}

// layer is the image's file system as a tar, in the order of the paths and dated 1970.
func (i Image) layer() ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(i.Files)) {
		h := tar.Header{Name: name, Mode: 0o755, Size: int64(len(i.Files[name])), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if name == "tmp/" {
			h.Mode = 0o1777
		}
		if err := tw.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("image file %q: %w", name, err)
		}
		if _, err := tw.Write(i.Files[name]); err != nil {
			return nil, fmt.Errorf("image file %q: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.Links)) {
		h := tar.Header{Name: name, Linkname: i.Links[name], Mode: 0o777, Typeflag: tar.TypeSymlink}
		if err := tw.WriteHeader(&h); err != nil {
			return nil, fmt.Errorf("image link %q: %w", name, err)
		}
	}
	err := tw.Close()
	return b.Bytes(), err
}

// Add makes an image and serves it as name:tag. Equal images have equal digests.
func (s *Server) Add(name, tag string, i Image) (spec.ImageRef, error) {
	layer, err := i.layer()
	if err != nil {
		return spec.ImageRef{}, err
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level is valid
	_, err = z.Write(layer)
	if err = errors.Join(err, z.Close()); err != nil {
		return spec.ImageRef{}, fmt.Errorf("pack image: %w", err)
	}
	return s.AddLayer(name, tag, packed.Bytes(), layer, i.Config)
}

// AddLayer serves an image of one layer: its bytes as they travel, whatever they are, and what they claim to unpack to.
func (s *Server) AddLayer(name, tag string, packed, layer []byte, c Config) (spec.ImageRef, error) {
	volumes := map[string]struct{}{}
	for _, v := range c.Volumes {
		volumes[v] = struct{}{}
	}
	config, err := json.Marshal(map[string]any{
		"created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
		"config": map[string]any{"Entrypoint": c.Entrypoint, "Cmd": c.Cmd, "Env": c.Env, "WorkingDir": c.WorkingDir,
			"User": c.User, "Volumes": volumes},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{sum(layer)}},
		"history": []any{map[string]any{"created": "1970-01-01T00:00:00Z", "created_by": "gpuai"}},
	})
	if err != nil {
		return spec.ImageRef{}, fmt.Errorf("build image: %w", err)
	}
	blob := func(kind string, b []byte) (map[string]any, error) {
		d := sum(b)
		return map[string]any{"mediaType": kind, "digest": d, "size": len(b)}, os.WriteFile(s.path(d), b, 0o600)
	}
	cd, err1 := blob(configType, config)
	ld, err2 := blob(layerType, packed)
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": cd,
		"layers": []any{ld}})
	if err = errors.Join(err, err1, err2); err == nil {
		err = s.putManifest(name, tag, manifestType, manifest)
	}
	if err != nil {
		return spec.ImageRef{}, fmt.Errorf("build image: %w", err)
	}
	return spec.ImageRef{
		Ref: s.Host + "/" + name + ":" + tag, Manifest: sum(manifest), Config: sum(config), Platform: "linux/amd64",
		CompressedBytes: uint64(len(packed)), UnpackedBytes: uint64(len(layer)),
	}, nil
}
