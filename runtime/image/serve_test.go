package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
)

func serve(t *testing.T) *Server {
	t.Helper()
	s, err := Serve(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
			t.Errorf("its folder is left: %v", err)
		}
	})
	return s
}

// ask returns the answer to one request; url may be only a path.
func ask(t *testing.T, s *Server, method, url, kind string, body []byte, edit ...func(*http.Request)) (*http.Response,
	[]byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Host+url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	for _, f := range edit {
		f(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func get(t *testing.T, s *Server, path string) (int, []byte) {
	t.Helper()
	resp, b := ask(t, s, http.MethodGet, path, "", nil)
	if d := resp.Header.Get("Docker-Content-Digest"); resp.StatusCode == 200 && d != sum(b) {
		t.Errorf("%s: digest %s of %d bytes", path, d, len(b))
	}
	return resp.StatusCode, b
}

func TestServer_ServesWhatItSays(t *testing.T) {
	t.Parallel()
	s := serve(t)
	program := []byte("#!program")
	image := Image{Files: map[string][]byte{"bin/tool": program, "tmp/": nil},
		Links: map[string]string{"bin/sh": "/bin/tool"}, Config: Config{Cmd: []string{"sh"}}}
	ref, err := s.Add("gpuai/sample", "demo", image)
	if err != nil || ref.Ref != s.Host+"/gpuai/sample:demo" {
		t.Fatal(ref, err)
	}
	digest := ref.Manifest
	if other, err := s.Add("gpuai/other", "demo", image); err != nil || other.Manifest != digest {
		again := other.Manifest
		t.Errorf("the same program gave %s, then %s, %v", digest, again, err)
	}
	code, byTag := get(t, s, "/v2/gpuai/sample/manifests/demo")
	_, byDigest := get(t, s, "/v2/gpuai/sample/manifests/"+digest)
	if code != 200 || !bytes.Equal(byTag, byDigest) || sum(byTag) != digest {
		t.Errorf("manifest %d: %s", code, byTag)
	}
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(byTag, &m); err != nil || len(m.Layers) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	if code, _ := get(t, s, "/v2/gpuai/sample/blobs/"+m.Config.Digest); code != 200 {
		t.Errorf("config: %d", code)
	}
	_, layer := get(t, s, "/v2/gpuai/sample/blobs/"+m.Layers[0].Digest)
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	tr := tar.NewReader(z)
	for h, err := tr.Next(); !errors.Is(err, io.EOF); h, err = tr.Next() {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = h.Linkname + string(b)
	}
	if want := (map[string]string{"bin/tool": string(program), "bin/sh": "/bin/tool", "tmp/": ""}); !maps.Equal(got,
		want) {
		t.Errorf("the layer holds %v, want %v", got, want)
	}
	for _, path := range []string{
		"/", "/v2/other/manifests/demo", "/v2/gpuai/sample/manifests/latest", "/v2/gpuai/sample/blobs/sha256:0",
		"/v2/gpuai/sample/blobs/../../x",
		"/v2/gpuai/sample/manifests/" + m.Config.Digest, "/v2/gpuai/sample/blobs/uploads/nobody",
	} {
		if code, _ := get(t, s, path); code != 404 {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestServer_Push_OnlyTrueDigestsAreKept(t *testing.T) {
	t.Parallel()
	s := serve(t)
	blob := []byte("first half, second half")
	open := func() string {
		resp, _ := ask(t, s, http.MethodPost, "/v2/me/tools/blobs/uploads/", "", nil)
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("upload: %d", resp.StatusCode)
		}
		return resp.Header.Get("Location")
	}
	at := open()
	if resp, _ := ask(t, s, http.MethodPatch, at, "", blob[:10]); resp.StatusCode != http.StatusAccepted ||
		resp.Header.Get("Range") != "0-9" {
		t.Errorf("half: %d, %s", resp.StatusCode, resp.Header.Get("Range"))
	}
	if resp, _ := ask(t, s, http.MethodPut, at+"?digest="+sum(blob), "",
		blob[10:]); resp.StatusCode != http.StatusCreated {
		t.Errorf("end: %d", resp.StatusCode)
	}
	if code, got := get(t, s, "/v2/me/tools/blobs/"+sum(blob)); code != 200 || !bytes.Equal(got, blob) {
		t.Errorf("%d, %q", code, got)
	}
	if resp, _ := ask(t, s, http.MethodPut, at+"?digest="+sum(blob), "", nil); resp.StatusCode != 404 {
		t.Errorf("an upload that has ended: %d", resp.StatusCode)
	}
	for _, digest := range []string{sum([]byte("another")), "", "../../etc/x"} {
		if resp, _ := ask(t, s, http.MethodPut, open()+"?digest="+digest, "",
			blob); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("wrong digest %q: %d", digest, resp.StatusCode)
		}
	}
	manifest := []byte(`{"schemaVersion":2}`)
	put := func(ref, kind string) int {
		resp, _ := ask(t, s, http.MethodPut, "/v2/me/tools/manifests/"+ref, kind, manifest)
		return resp.StatusCode
	}
	if put("1.0", "application/x") != 201 || put(sum(manifest), "application/x") != 201 {
		t.Error("a manifest was refused")
	}
	if put(sum(blob), "application/x") != 400 || put("-x", "application/x") != 400 || put("1.0", "") != 400 {
		t.Error("a wrong manifest was taken")
	}
	resp, got := ask(t, s, http.MethodGet, "/v2/me/tools/manifests/1.0", "", nil)
	if resp.Header.Get("Content-Type") != "application/x" || !bytes.Equal(got, manifest) {
		t.Errorf("%s %s", resp.Header.Get("Content-Type"), got)
	}
}

// A page whose name resolves to loopback must not reach it: its requests name another host.
func TestServer_OtherHost_NotFound(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, port, _ := strings.Cut(s.Host, ":")
	for host, want := range map[string]int{"evil.example:" + port: 404, "localhost:" + port: 200, "127.0.0.1": 404} {
		resp, _ := ask(t, s, http.MethodGet, "/v2/", "", nil, func(r *http.Request) { r.Host = host })
		if resp.StatusCode != want {
			t.Errorf("%s: %d", host, resp.StatusCode)
		}
	}
}
