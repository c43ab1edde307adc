package demo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

//go:embed bin
var bin embed.FS

const (
	repository   = "gpuai/sample"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// registry serves one image over HTTP on loopback, where engines accept it without TLS: digest and pull are real.
type registry struct {
	ref      string // 127.0.0.1:port/gpuai/sample:demo
	digest   string // of the manifest
	manifest []byte
	blobs    map[string][]byte
	server   *http.Server
	wg       sync.WaitGroup
}

// sample is the job's program.
func sample() ([]byte, error) {
	z, err := bin.ReadFile("bin/sample.gz")
	if err != nil {
		return nil, &market.Error{Code: "needs-build", Kind: market.KindUnavailable, Op: "open sample job", Detail: "this binary was built without it", Hint: "make build"}
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, fmt.Errorf("open sample job: %w", err)
	}
	return io.ReadAll(r)
}

func startRegistry() (*registry, error) {
	program, err := sample()
	if err != nil {
		return nil, err
	}
	r := &registry{blobs: map[string][]byte{}}
	if err := r.build(program); err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve image: %w", err)
	}
	r.ref = l.Addr().String() + "/" + repository + ":demo"
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second}
	r.wg.Go(func() { _ = r.server.Serve(l) }) // ends with Close
	return r, nil
}

// Close ends the registry.
func (r *registry) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = r.server.Close()
	}
	r.wg.Wait()
	return err
}

// build makes layer, config and manifest; equal programs give equal digests.
func (r *registry) build(program []byte) error {
	var layer, packed bytes.Buffer
	tw := tar.NewWriter(&layer)
	err := tw.WriteHeader(&tar.Header{Name: "sample", Mode: 0o755, Size: int64(len(program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = tw.Write(program)
	}
	err = errors.Join(err, tw.Close())
	zw := gzip.NewWriter(&packed)
	if err == nil {
		_, err = zw.Write(layer.Bytes())
	}
	if err = errors.Join(err, zw.Close()); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Entrypoint": []string{"/sample"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	r.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": r.blob(configType, config), "layers": []any{r.blob(layerType, packed.Bytes())},
	})
	r.digest = digest(r.manifest)
	return err
}

func (r *registry) blob(kind string, b []byte) map[string]any {
	d := digest(b)
	r.blobs[d] = b
	return map[string]any{"mediaType": kind, "digest": d, "size": len(b)}
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// ServeHTTP implements the read half of the OCI distribution protocol.
func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, kind := []byte("{}"), "application/json"
	path, ok := strings.CutPrefix(q.URL.Path, "/v2/")
	if ok && path != "" {
		rest, mine := strings.CutPrefix(path, repository+"/")
		name, isManifest := strings.CutPrefix(rest, "manifests/")
		blob, isBlob := r.blobs[strings.TrimPrefix(rest, "blobs/")]
		switch {
		case mine && isManifest && (name == "demo" || name == r.digest):
			body, kind = r.manifest, manifestType
		case mine && isBlob:
			body, kind = blob, "application/octet-stream"
		default:
			ok = false
		}
	}
	if !ok || q.Method != http.MethodGet && q.Method != http.MethodHead {
		http.NotFound(w, q)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest(body))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if q.Method == http.MethodGet {
		_, _ = w.Write(body) // the engine asks again if it was cut
	}
}
