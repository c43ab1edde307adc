package runtimetest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/runtime/image"
	"github.com/gpuai/gpuai/runtime/spec"
)

// ImageConfig is what an image says about itself.
type ImageConfig = image.Config

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

// Registry is the product's registry on a loopback port, behind faults.
type Registry struct {
	server *image.Server
	mu     sync.Mutex
	fault  Faults
	gets   int // blobs asked for
	asked  int // manifests asked for
}

// NewRegistry starts a registry on 127.0.0.1. Close it.
func NewRegistry() (r *Registry, err error) {
	r = &Registry{}
	r.server, err = image.Serve(0, r.before)
	return r, err
}

// Host is the address that references begin with.
func (r *Registry) Host() string { return r.server.Host }

// Close ends the registry and every transfer.
func (r *Registry) Close() error { return r.server.Close() }

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

// Push makes an image of files and serves it as name:latest; see image.Image. Errors: a bad path.
func (r *Registry) Push(name string, files map[string][]byte, cfg ImageConfig) (spec.ImageRef, error) {
	inside := map[string][]byte{}
	for path, content := range files {
		inside[strings.TrimPrefix(path, "/")] = content
	}
	return r.server.Add(name, "latest", image.Image{Files: inside, Config: cfg})
}

// PushLayer serves an image of one layer: its bytes as they travel, whatever they are, and what they claim to unpack
// to.
func (r *Registry) PushLayer(name string, zipped, layer []byte, cfg ImageConfig) (spec.ImageRef, error) {
	return r.server.AddLayer(name, "latest", zipped, layer, cfg)
}

// before stands before the registry: it counts, refuses manifests and spoils blobs.
func (r *Registry) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		manifest := strings.Contains(q.URL.Path, "/manifests/")
		blob := q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/")
		r.mu.Lock()
		if blob {
			r.gets++
		}
		if manifest {
			r.asked++
		}
		fault := r.fault
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
			image.Refuse(w, fault.Status, code, "fault")
			return
		}
		if blob {
			w = &faulty{ResponseWriter: w, r: r, ctx: q.Context(), corrupt: fault.Corrupt}
		}
		next.ServeHTTP(w, q)
	})
}

// faulty is a response that drips, stalls, or ends in a wrong byte.
type faulty struct {
	http.ResponseWriter
	r       *Registry
	ctx     context.Context
	corrupt bool
	sent    int64
}

func (f *faulty) Write(b []byte) (n int, err error) {
	total, _ := strconv.ParseInt(f.Header().Get("Content-Length"), 10, 64)
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
		b = b[len(part):]
		if f.corrupt && f.sent+int64(len(part)) == total {
			part = slices.Clone(part)
			part[len(part)-1] ^= 1
		}
		m, err := f.ResponseWriter.Write(part)
		n, f.sent = n+m, f.sent+int64(m)
		if err != nil {
			return n, err
		}
		if fl, ok := f.ResponseWriter.(http.Flusher); ok && (fault.Drip > 0 || fault.Stall > 0) {
			fl.Flush()
		}
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
