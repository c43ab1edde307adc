package runtimetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/runtime/spec"
)

const (
	mediaManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaConfig   = "application/vnd.docker.container.image.v1+json"
	mediaLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// ImageConfig is what an image says about itself.
type ImageConfig struct {
	Entrypoint, Cmd, Env []string
	WorkingDir, User     string
	Volumes              []string
}

// Faults of a registry. Drip: bytes per second of blobs, 0 = no limit. Stall: blobs stop after that many bytes until
// the client leaves, 0 = never. Status: answer manifests with it, Times times, 0 = always, with that RetryAfter if it
// is not empty. Corrupt: blobs have a wrong last byte.
type Faults struct {
	Drip, Stall int64
	Status      int
	Times       int
	RetryAfter  string
	Corrupt     bool
}

// Registry is an OCI registry on a loopback port, read-only but for Push.
type Registry struct {
	srv   *http.Server
	addr  string
	done  sync.WaitGroup
	mu    sync.Mutex
	blobs map[string][]byte // by digest; manifests too
	media map[string]string
	tags  map[string]string // "name:tag" to digest
	fault Faults
	gets  int // blobs asked for
	asked int // manifests asked for
}

// NewRegistry starts a registry on 127.0.0.1. Close it.
func NewRegistry() (*Registry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start registry: %w", err)
	}
	r := &Registry{addr: l.Addr().String(), blobs: map[string][]byte{}, media: map[string]string{},
		tags: map[string]string{}}
	r.srv = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 10 * time.Second}
	r.done.Go(func() { _ = r.srv.Serve(l) }) // always ErrServerClosed after Close
	return r, nil
}

// Host is the address that references begin with.
func (r *Registry) Host() string { return r.addr }

// Close ends the registry and every transfer.
func (r *Registry) Close() error {
	err := r.srv.Close()
	r.done.Wait()
	return err
}

// SetFaults replaces the faults; transfers under way see them too.
func (r *Registry) SetFaults(f Faults) {
	r.mu.Lock()
	r.fault, r.asked = f, 0
	r.mu.Unlock()
}

// ManifestGets counts the manifests that were asked for since SetFaults.
func (r *Registry) ManifestGets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// BlobGets counts the blobs that were asked for.
func (r *Registry) BlobGets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gets
}

// Push builds a one-layer linux/amd64 image of files (path to content, mode 0755) and serves it as name:latest. Errors:
// a bad path.
func (r *Registry) Push(name string, files map[string][]byte, cfg ImageConfig) (spec.ImageRef, error) {
	layer, err := layerOf(files)
	if err != nil {
		return spec.ImageRef{}, err
	}
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestSpeed) // the level is valid, memory does not fail
	_, _ = z.Write(layer)
	_ = z.Close()
	return r.PushLayer(name, zipped.Bytes(), layer, cfg)
}

// PushLayer serves an image of one layer: its bytes as they travel, whatever they are, and what they claim to unpack
// to.
func (r *Registry) PushLayer(name string, zipped, layer []byte, cfg ImageConfig) (spec.ImageRef, error) {
	volumes := map[string]struct{}{}
	for _, v := range cfg.Volumes {
		volumes[v] = struct{}{}
	}
	config, err := json.Marshal(map[string]any{
		"created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux",
		"config": map[string]any{
			"Entrypoint": cfg.Entrypoint, "Cmd": cfg.Cmd, "Env": cfg.Env, "WorkingDir": cfg.WorkingDir,
			"User": cfg.User, "Volumes": volumes,
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
		"history": []any{map[string]any{"created": "1970-01-01T00:00:00Z", "created_by": "runtimetest"}},
	})
	if err != nil {
		return spec.ImageRef{}, fmt.Errorf("encode image: %w", err)
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest,
		"config": map[string]any{"mediaType": mediaConfig, "digest": digest(config), "size": len(config)},
		"layers": []any{map[string]any{"mediaType": mediaLayer, "digest": digest(zipped), "size": len(zipped)}},
	})
	if err != nil {
		return spec.ImageRef{}, fmt.Errorf("encode image: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for media, b := range map[string][]byte{mediaConfig: config, mediaManifest: manifest, mediaLayer: zipped} {
		r.blobs[digest(b)], r.media[digest(b)] = b, media
	}
	r.tags[name+":latest"] = digest(manifest)
	return spec.ImageRef{
		Ref: r.addr + "/" + name + ":latest", Manifest: digest(manifest), Config: digest(config),
		Platform:        "linux/amd64",
		CompressedBytes: uint64(len(zipped)), UnpackedBytes: uint64(len(layer)),
	}, nil
}

// layerOf makes a tar with every parent directory once, in order, dated 1970.
func layerOf(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{".": true}
	var dirs func(d string) error
	dirs = func(d string) error {
		if made[d] {
			return nil
		}
		if err := dirs(path.Dir(d)); err != nil {
			return err
		}
		made[d] = true
		mode := int64(0o755)
		if d == "tmp" {
			mode = 0o1777
		}
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: mode, Format: tar.FormatUSTAR})
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		clean := strings.TrimPrefix(path.Clean("/"+name), "/")
		if strings.HasSuffix(name, "/") {
			if err := dirs(clean); err != nil {
				return nil, fmt.Errorf("image directory %q: %w", name, err)
			}
			continue
		}
		if err := dirs(path.Dir(clean)); err != nil {
			return nil, fmt.Errorf("image file %q: %w", name, err)
		}
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: clean, Mode: 0o755, Size: int64(len(files[name])),
			Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			return nil, fmt.Errorf("image file %q: %w", name, err)
		}
	}
	return b.Bytes(), w.Close()
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// serve answers GET and HEAD of /v2/, manifests and blobs.
func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok || req.Method != http.MethodGet && req.Method != http.MethodHead {
		http.Error(w, "unsupported", http.StatusMethodNotAllowed)
		return
	}
	if rest == "" {
		return
	}
	name, what := rest, ""
	manifest := false
	if a, b, ok := cutLast(rest, "/manifests/"); ok {
		name, what, manifest = a, b, true
	} else if a, b, ok := cutLast(rest, "/blobs/"); ok {
		name, what = a, b
	}
	r.mu.Lock()
	if tagged, ok := r.tags[name+":"+what]; ok {
		what = tagged
	}
	body, media, fault := r.blobs[what], r.media[what], r.fault
	if !manifest && req.Method == http.MethodGet {
		r.gets++
	}
	if manifest {
		r.asked++
	}
	refused := manifest && fault.Status != 0 && (fault.Times == 0 || r.asked <= fault.Times)
	r.mu.Unlock()
	if refused {
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		code, ok := map[int]string{http.StatusUnauthorized: "UNAUTHORIZED", http.StatusForbidden: "DENIED",
			http.StatusTooManyRequests: "TOOMANYREQUESTS"}[fault.Status]
		if !ok {
			code = "UNKNOWN"
		}
		refuse(w, fault.Status, code, "fault")
		return
	}
	if body == nil || manifest != (media == mediaManifest) {
		code := "BLOB_UNKNOWN"
		if manifest {
			code = "MANIFEST_UNKNOWN"
		}
		refuse(w, http.StatusNotFound, code, "manifest unknown")
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Docker-Content-Digest", what)
	if manifest || req.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if req.Method == http.MethodGet {
			_, _ = w.Write(body) // the client may be gone
		}
		return
	}
	r.blob(w, req, body)
}

func cutLast(s, sep string) (a, b string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// client gone: no one to tell
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": text}}})
}

// blob sends a blob with the faults of the moment.
func (r *Registry) blob(w http.ResponseWriter, req *http.Request, body []byte) {
	r.mu.Lock()
	corrupt := r.fault.Corrupt
	r.mu.Unlock()
	if corrupt && len(body) > 0 {
		body = slices.Clone(body)
		body[len(body)-1] ^= 1
	}
	out := &faulty{w: w, r: r, ctx: req.Context()}
	http.ServeContent(out, req, "", time.Time{}, bytes.NewReader(body))
}

// faulty is a response that drips or stalls.
type faulty struct {
	w    http.ResponseWriter
	r    *Registry
	ctx  context.Context
	sent int64
}

func (f *faulty) Header() http.Header { return f.w.Header() }
func (f *faulty) WriteHeader(s int)   { f.w.WriteHeader(s) }

func (f *faulty) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		f.r.mu.Lock()
		fault := f.r.fault
		f.r.mu.Unlock()
		part := b
		if fault.Stall > 0 && f.sent >= fault.Stall {
			if err := f.pause(50 * time.Millisecond); err != nil {
				return n, err
			}
			continue
		}
		if fault.Drip > 0 {
			part = b[:min(int64(len(b)), max(fault.Drip/20, 1))]
			if err := f.pause(50 * time.Millisecond); err != nil {
				return n, err
			}
		} else if fault.Stall > 0 {
			part = b[:min(int64(len(b)), fault.Stall-f.sent)]
		}
		m, err := f.w.Write(part)
		n, f.sent = n+m, f.sent+int64(m)
		if err != nil {
			return n, err
		}
		if fl, ok := f.w.(http.Flusher); ok && (fault.Drip > 0 || fault.Stall > 0) {
			fl.Flush()
		}
		b = b[len(part):]
	}
	return n, nil
}

var errGone = errors.New("the client left")

func (f *faulty) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-f.ctx.Done():
		return errGone
	case <-t.C:
		return nil
	}
}
