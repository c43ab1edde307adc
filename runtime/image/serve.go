package image

import (
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

	"github.com/gpuai/gpuai/runtime/spec"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]+(?:[._/-][a-z0-9]+)*$`)
	tagForm  = regexp.MustCompile(`^\w[\w.-]{0,127}$`)
)

// Server is a registry on loopback, where engines accept one without TLS. It listens on 127.0.0.1 only and answers no
// other Host, so that no web page reaches it under a name of its own; a blob is served only under the hash of its
// bytes. There is no login: whoever is on this machine can push. Host is how images begin: "127.0.0.1:8898".
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

// Serve starts a registry without images on a port of loopback, 0 = any; each of around stands before it. Errors: the
// port is in use; no temporary folder.
func Serve(port int, around ...func(http.Handler) http.Handler) (*Server, error) {
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
	var h http.Handler = s
	for _, f := range around {
		h = f(h)
	}
	s.server = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
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
		notFound(w, q)
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
			notFound(w, q)
		}
		return
	}
	notFound(w, q)
}

// notFound says so as the protocol does.
func notFound(w http.ResponseWriter, q *http.Request) {
	code, text := "BLOB_UNKNOWN", "blob unknown"
	if strings.Contains(q.URL.Path, "/manifests/") {
		code, text = "MANIFEST_UNKNOWN", "manifest unknown"
	}
	Refuse(w, http.StatusNotFound, code, text)
}

// Refuse answers with an error as the protocol writes it.
func Refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// a client that is gone hears nothing
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": code, "message": text}}})
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
	if !spec.ValidDigest(digest) || kind == "" {
		notFound(w, q)
		return
	}
	f, err := os.Open(s.path(digest))
	if err != nil {
		notFound(w, q)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Docker-Content-Digest", digest)
	http.ServeContent(w, q, "", time.Time{}, f)
}
