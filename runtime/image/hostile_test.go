package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestResolve_Redirects_AreCounted: a registry may send elsewhere for a blob, yet not for ever.
func TestResolve_Redirects_AreCounted(t *testing.T) {
	t.Parallel()
	m := image(config)
	host := registry(t, false, map[string]string{"manifests/latest": m, "blobs/" + digestOf(config): config})
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		to := "http://" + host + r.URL.Path
		if strings.Contains(r.URL.Path, "loop") {
			to = fmt.Sprintf("/v2/a/b/manifests/loop%d", n)
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	away := strings.TrimPrefix(s.URL, "http://")
	if got, err := resolver(t).Resolve(t.Context(), away+"/a/b"); err != nil || got.Manifest != digestOf(m) {
		t.Errorf("%+v, %v", got, err)
	}
	asked.Store(0)
	_, err := resolver(t).Resolve(t.Context(), away+"/a/b:loop")
	if market.CodeOf(err) != market.CodeRegistryUnreachable || asked.Load() > maxRedirects+1 {
		t.Errorf("%v after %d redirects", err, asked.Load())
	}
}

// secure answers requests of https by a server, and counts those that leave as plain HTTP.
type secure struct {
	h     http.Handler
	plain atomic.Int32
}

func (s *secure) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		s.plain.Add(1)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestResolve_OnlyHTTPS: no host but loopback is asked in the clear, whatever it is called, sends to, or names as its
// token server; and a token goes to its registry only.
func TestResolve_OnlyHTTPS(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+r.URL.Path, http.StatusFound)
		},
		"token server": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://169.254.169.254/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"token server on loopback": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://127.0.0.1:1/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"token leaves": func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				_, _ = w.Write([]byte(`{"token":"t0"}`))
			case r.Host == "elsewhere.example" && r.Header.Get("Authorization") != "":
				t.Errorf("the token reaches %s", r.Host)
				w.WriteHeader(http.StatusNotFound)
			case r.Header.Get("Authorization") == "":
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusFound)
			}
		},
	} {
		for _, host := range []string{"registry.example", "10.0.0.1:5000", "box.local"} {
			tr := &secure{h: h}
			r, err := NewResolver("linux/amd64", tr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Resolve(t.Context(), host+"/a/b"); err == nil || tr.plain.Load() > 0 {
				t.Errorf("%s of %s: %v, %d questions in the clear", name, host, err, tr.plain.Load())
			}
		}
	}
}
