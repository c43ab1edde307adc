package image

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gpuai/gpuai/runtime/spec"
)

// upload takes a blob: POST opens it, PATCH appends, PUT appends, checks the digest and keeps it.
func (s *Server) upload(w http.ResponseWriter, q *http.Request, name, id string) {
	if q.Method == http.MethodPost && id == "" {
		id = rand.Text()
		s.mu.Lock()
		s.uploads[id] = true
		s.mu.Unlock()
		w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/"+id)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s.mu.Lock()
	known := s.uploads[id]
	s.mu.Unlock()
	if !known || q.Method != http.MethodPatch && q.Method != http.MethodPut {
		notFound(w, q)
		return
	}
	waiting := filepath.Join(s.dir, "upload-"+id)
	size, err := appendTo(waiting, q.Body)
	if err != nil {
		Refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	if q.Method == http.MethodPatch {
		w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/"+id)
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
		w.WriteHeader(http.StatusAccepted)
		return
	}
	digest := q.URL.Query().Get("digest")
	if err := s.keep(waiting, digest); err != nil {
		Refuse(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
		return
	}
	s.mu.Lock()
	delete(s.uploads, id)
	s.mu.Unlock()
	w.Header().Set("Location", "/v2/"+name+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}

// appendTo returns the file's size after it.
func appendTo(path string, body io.Reader) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := io.Copy(f, body); err != nil {
		return 0, err
	}
	return f.Seek(0, io.SeekEnd)
}

// keep moves a complete upload to its digest.
func (s *Server) keep(waiting, digest string) error {
	f, err := os.Open(waiting)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("the bytes have the digest %s, not %q", got, digest)
	}
	return os.Rename(waiting, s.path(digest))
}

func (s *Server) takeManifest(w http.ResponseWriter, q *http.Request, name, ref string) {
	b, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxManifest))
	if err == nil {
		err = s.putManifest(name, ref, q.Header.Get("Content-Type"), b)
	}
	if err != nil {
		Refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error())
		return
	}
	w.Header().Set("Location", "/v2/"+name+"/manifests/"+ref)
	w.Header().Set("Docker-Content-Digest", sum(b))
	w.WriteHeader(http.StatusCreated)
}

// putManifest keeps a manifest under its digest and, unless ref is that digest, under name:ref.
func (s *Server) putManifest(name, ref, kind string, b []byte) error {
	digest := sum(b)
	if kind == "" || !spec.ValidDigest(ref) && !tagForm.MatchString(ref) || spec.ValidDigest(ref) &&
		ref != digest {
		return fmt.Errorf("manifest %s:%s of type %q is not one", name, ref, kind)
	}
	if err := os.WriteFile(s.path(digest), b, 0o600); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[digest] = kind
	if ref != digest {
		s.tags[name+":"+ref] = digest
	}
	return nil
}
