package web_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gpuai/gpuai/node/web"
)

func zipped(t *testing.T, text string) *fstest.MapFile {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: b.Bytes()}
}

func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func built(t *testing.T) http.Handler {
	t.Helper()
	h, err := web.New(fstest.MapFS{
		"README":              {Data: []byte("no file of the site")},
		"index.html.gz":       zipped(t, "<p>app"),
		"index.html.br":       {Data: []byte("brotli of the app")},
		"assets/main-1.js.gz": zipped(t, "run()"),
		"assets/main-1.js.br": {Data: []byte("brotli of main")},
		"assets/a-2.woff2":    {Data: []byte("font")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSite_Answers: which path gets what, with which status and how long a browser may keep it.
func TestSite_Answers(t *testing.T) {
	h := built(t)
	for _, c := range []struct {
		method, path, body, media, keep string
		status                          int
	}{
		{"GET", "/", "<p>app", "text/html", "no-cache", 200},
		{"GET", "/gpus/rtx-4090", "<p>app", "text/html", "no-cache", 200},
		{"GET", "/leases/a.b", "<p>app", "text/html", "no-cache", 200},
		{"HEAD", "/offers", "", "text/html", "no-cache", 200},
		{"GET", "/none", "<p>app", "text/html", "no-cache", 404},
		{"GET", "/gpus/a/b", "<p>app", "text/html", "no-cache", 404},
		{"GET", "/assets/main-1.js", "run()", "text/javascript", "immutable", 200},
		{"GET", "/assets/a-2.woff2", "font", "font/woff2", "immutable", 200},
		{"GET", "/assets/main-0.js", "the site has no such file\n", "text/plain", "", 404},
		{"GET", "/assets", "<p>app", "text/html", "no-cache", 404},
		{"GET", "/favicon.ico", "the site has no such file\n", "text/plain", "", 404},
		{"GET", "/README", "<p>app", "text/html", "no-cache", 404},
		{"POST", "/", "the site takes GET and HEAD\n", "text/plain", "", 405},
	} {
		r := ask(h, c.method, c.path)
		if got := text(t, r); r.StatusCode != c.status || got != c.body ||
			!strings.HasPrefix(r.Header.Get("Content-Type"), c.media) ||
			!strings.Contains(r.Header.Get("Cache-Control"), c.keep) {
			t.Errorf("%s %s: %d %q %v", c.method, c.path, r.StatusCode, got, r.Header)
		}
		for name, want := range map[string]string{"Content-Security-Policy": web.Policy,
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if r.Header.Get(name) != want {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, r.Header.Get(name))
			}
		}
	}
}

// TestSite_Encodings: a client gets the smallest form that it takes, and each form has a tag of its own.
func TestSite_Encodings(t *testing.T) {
	h := built(t)
	tags := map[string]bool{}
	for takes, want := range map[string]string{"": "", "gzip, deflate, br": "br", "gzip": "gzip",
		"br;q=0, gzip;q=0.5": "gzip",
		"*":                  "br", "identity": "", "gzip;q=0": ""} {
		r := ask(h, "GET", "/assets/main-1.js", "Accept-Encoding", takes)
		if got := r.Header.Get("Content-Encoding"); got != want || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q %v", takes, got, r.Header)
		}
		tag := r.Header.Get("ETag")
		tags[tag] = true
		again := ask(h, "GET", "/assets/main-1.js", "Accept-Encoding", takes, "If-None-Match", `"x", W/`+tag)
		if body := text(t, again); again.StatusCode != 304 || body != "" || again.Header.Get("ETag") != tag {
			t.Errorf("%q: %d %q", takes, again.StatusCode, body)
		}
	}
	if len(tags) != 3 {
		t.Errorf("three forms have the tags %v", tags)
	}
	if r := ask(h, "GET", "/assets/a-2.woff2", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Errorf("a font is not compressed again: %v", r.Header)
	}
	if r := ask(h, "GET", "/none", "If-None-Match", ask(h, "GET", "/").Header.Get("ETag")); r.StatusCode != 404 {
		t.Errorf("a page that is none is not the one that the browser has: %d", r.StatusCode)
	}
}

// TestSite_NotBuilt: without `make web` the site says so.
func TestSite_NotBuilt(t *testing.T) {
	h, err := web.New(fstest.MapFS{"README": {}})
	if err != nil {
		t.Fatal(err)
	}
	r := ask(h, "GET", "/")
	if body := text(t, r); r.StatusCode != 200 || !strings.Contains(body, "The site is not built: make web") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if r := ask(web.Handler(), "GET", "/"); r.StatusCode != 200 {
		t.Errorf("of this program: %d", r.StatusCode)
	}
}
