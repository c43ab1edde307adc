// Package images serves container images over HTTP on loopback, where engines accept a registry without TLS: the demo's
// sample job, and on gpuai localnet also a shell and what docker push brings.
//
// Invariants: listens on 127.0.0.1 only and answers no other Host, so that no web page reaches it under a name of its
// own; a blob is served only under the hash of its bytes. There is no login: whoever is on this machine can push.
// Concurrency: any goroutine. Persistence: a temporary folder that Close removes. Next: ServeHTTP, push.go.
package images

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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	maxManifest  = 4 << 20
)

var (
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	nameForm   = regexp.MustCompile(`^[a-z0-9]+(?:[._/-][a-z0-9]+)*$`)
	tagForm    = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
)

// Server is a running registry. Host is how images begin: "127.0.0.1:8898".
type Server struct {
	Host string

	dir    string
	server *http.Server
	wg     sync.WaitGroup

	mu      sync.Mutex
	kinds   map[string]string // digest of a manifest -> media type
	tags    map[string]string // "name:tag" -> digest
	uploads map[string]bool   // names of waiting files
}

// Serve starts a registry without images on a port of loopback, 0 = any. Errors: the port is in use; no temporary
// folder.
func Serve(port int) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("serve images: %w", err)
	}
	dir, err := os.MkdirTemp("", "gpuai-images-")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve images: %w", err), l.Close())
	}
	s := &Server{Host: l.Addr().String(), dir: dir, kinds: map[string]string{}, tags: map[string]string{},
		uploads: map[string]bool{}}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	s.wg.Go(func() { _ = s.server.Serve(l) }) // ends with Close
	return s, nil
}

// Close ends the registry and removes its images.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	s.wg.Wait()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Image is what Add makes: one static program for linux/amd64 at Path, links to it, and how the engine starts it. Paths
// have no leading slash.
type Image struct {
	Program              []byte
	Path                 string
	Links                []string
	Entrypoint, Cmd, Env []string
}

// layer is the image's file system as a tar: the program, its links, and a /tmp that everybody may write.
func (i Image) layer() ([]byte, error) {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	err := tw.WriteHeader(&tar.Header{Name: i.Path, Mode: 0o755, Size: int64(len(i.Program)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = tw.Write(i.Program)
	}
	for _, l := range i.Links {
		err = errors.Join(err, tw.WriteHeader(&tar.Header{Name: l, Linkname: "/" + i.Path, Mode: 0o777,
			Typeflag: tar.TypeSymlink}))
	}
	err = errors.Join(err, tw.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}), tw.Close())
	return b.Bytes(), err
}

// Add makes an image under name:tag. Equal images give equal digests. It returns the image's full name and the
// manifest's digest.
func (s *Server) Add(name, tag string, i Image) (ref, digest string, err error) {
	var packed bytes.Buffer
	layer, err := i.layer()
	zw := gzip.NewWriter(&packed)
	if err == nil {
		_, err = zw.Write(layer)
	}
	if err = errors.Join(err, zw.Close()); err != nil {
		return "", "", fmt.Errorf("build image: %w", err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Entrypoint": i.Entrypoint, "Cmd": i.Cmd,
			"Env": i.Env},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{sum(layer)}},
	})
	if err != nil {
		return "", "", fmt.Errorf("build image: %w", err)
	}
	c, err1 := s.blob(configType, config)
	l, err2 := s.blob(layerType, packed.Bytes())
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": c,
		"layers": []any{l}})
	if err = errors.Join(err, err1, err2); err != nil {
		return "", "", fmt.Errorf("build image: %w", err)
	}
	return s.Host + "/" + name + ":" + tag, sum(manifest), s.putManifest(name, tag, manifestType, manifest)
}

func (s *Server) blob(kind string, b []byte) (map[string]any, error) {
	d := sum(b)
	return map[string]any{"mediaType": kind, "digest": d, "size": len(b)}, os.WriteFile(s.path(d), b, 0o600)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

func (s *Server) path(digest string) string {
	return filepath.Join(s.dir, strings.TrimPrefix(digest, "sha256:"))
}

// ServeHTTP implements what engines use of the OCI distribution protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	path, ok := strings.CutPrefix(q.URL.Path, "/v2/")
	if _, port, err := net.SplitHostPort(q.Host); err != nil || !ok || q.Host != s.Host && q.Host != "localhost:"+port {
		http.NotFound(w, q)
		return
	}
	read := q.Method == http.MethodGet || q.Method == http.MethodHead
	if path == "" && read {
		_, _ = w.Write([]byte("{}")) // a cut answer is asked for again
		return
	}
	for _, kind := range []string{"/manifests/", "/blobs/uploads/", "/blobs/"} {
		name, what, found := strings.Cut(path, kind)
		if !found || !nameForm.MatchString(name) {
			continue
		}
		switch {
		case kind == "/blobs/uploads/":
			s.upload(w, q, name, what)
		case kind == "/manifests/" && q.Method == http.MethodPut:
			s.takeManifest(w, q, name, what)
		case read:
			s.send(w, q, name, what, kind == "/manifests/")
		default:
			http.NotFound(w, q)
		}
		return
	}
	http.NotFound(w, q)
}

// send answers with a blob, or with a manifest by tag or digest.
func (s *Server) send(w http.ResponseWriter, q *http.Request, name, what string, manifest bool) {
	digest, kind := what, "application/octet-stream"
	if manifest {
		s.mu.Lock()
		if d, ok := s.tags[name+":"+what]; ok {
			digest = d
		}
		kind = s.kinds[digest]
		s.mu.Unlock()
	}
	if !digestForm.MatchString(digest) || kind == "" {
		http.NotFound(w, q)
		return
	}
	f, err := os.Open(s.path(digest))
	if err != nil {
		http.NotFound(w, q)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest)
	http.ServeContent(w, q, "", time.Time{}, f)
}
