package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

func digestOf(s string) string {
	h := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(h[:])
}

// registry serves blobs by path and, with auth, wants the token first.
func registry(t *testing.T, auth bool, paths map[string]string) string {
	t.Helper()
	mux := http.NewServeMux()
	var host string
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("scope") != "repository:a/b:pull" || r.URL.Query().Get("service") != "here" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"token":"t0"}`)
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) {
		if auth && r.Header.Get("Authorization") != "Bearer t0" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="here",scope="x"`,
				host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, ok := paths[strings.TrimPrefix(r.URL.Path, "/v2/a/b/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown\u001b[31m"}]}`)
			return
		}
		fmt.Fprint(w, body)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	host = strings.TrimPrefix(s.URL, "http://")
	return host
}

const config = `{"architecture":"amd64","os":"linux"}`

func image(cfg string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[{"digest":%q,"size":100},{"digest":%q,"size":23}]}`,
		digestOf(cfg), len(cfg), digestOf("1"), digestOf("2"))
}

func resolver(t *testing.T) *Resolver {
	t.Helper()
	r, err := NewResolver("linux/amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResolve_IndexWithToken_PicksPlatformAndSums(t *testing.T) {
	t.Parallel()
	m := image(config)
	index := fmt.Sprintf(`{"manifests":[{"digest":%q,"platform":{"os":"linux","architecture":"arm64"}},{"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		digestOf("arm"), digestOf(m))
	host := registry(t, true, map[string]string{
		"manifests/1.0": index, "manifests/" + digestOf(m): m, "blobs/" + digestOf(config): config,
	})
	got, err := resolver(t).Resolve(t.Context(), host+"/a/b:1.0")
	if err != nil {
		t.Fatal(err)
	}
	want := spec.ImageRef{Ref: host + "/a/b:1.0", Manifest: digestOf(m), Config: digestOf(config),
		Platform:        "linux/amd64",
		CompressedBytes: 123}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestResolve_Faults_HaveCodes(t *testing.T) {
	t.Parallel()
	m, arm := image(config), `{"architecture":"arm64","os":"linux"}`
	host := registry(t, false, map[string]string{
		"manifests/latest":                m, // its config is missing
		"manifests/arm":                   image(arm),
		"blobs/" + digestOf(arm):          arm,
		"manifests/" + digestOf("pinned"): m, // not what the digest says
		"manifests/text":                  "hello",
		"manifests/lied":                  image("x"),
		"blobs/" + digestOf("x"):          "y",
		"manifests/big":                   strings.Repeat(" ", maxManifest+1),
		"manifests/index":                 `{"manifests":[{"digest":"sha256:00","platform":{"os":"windows","architecture":"amd64"}}]}`,
	})
	for ref, code := range map[string]market.Code{
		"/a/b":                       market.CodeImageNotFound,
		"/a/b:none":                  market.CodeImageNotFound,
		"/a/b:arm":                   market.CodeImageRefused,
		"/a/b@" + digestOf("pinned"): market.CodeImageRefused,
		"/a/b:text":                  market.CodeImageRefused,
		"/a/b:lied":                  market.CodeImageRefused,
		"/a/b:big":                   market.CodeRegistryUnreachable,
		"/a/b:index":                 market.CodeImageRefused,
		"/A/b":                       market.CodeSpecImage,
	} {
		_, err := resolver(t).Resolve(t.Context(), host+ref)
		if market.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", ref, err, code)
		}
		if err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: the registry's control bytes reach the user", ref)
		}
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"127.0.0.1:5000": true, "localhost": true, "[::1]:5000": true,
		"127.evil.example": false, "10.0.0.1:5000": false} {
		if loopback(host) != want {
			t.Errorf("loopback(%s) is not %v", host, want)
		}
	}
}
