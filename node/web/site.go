package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// Policy is the Content-Security-Policy of the site: a browser loads from its own host only, runs no text as script,
// and shows the site in no frame.
const Policy = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

// Routes are the pages of the app, as patterns of http.ServeMux. Another path gets the app too, with status 404.
var Routes = []string{
	"/{$}", "/gpus", "/gpus/{slug}", "/book/{slug}", "/offers", "/providers", "/providers/{peer}", "/leases",
	"/leases/{id}", "/channels/{addr}", "/wallets/{addr}", "/network", "/escrow", "/search", "/definitions",
}

// notBuilt is what a program without the site says.
const notBuilt = "<!doctype html>\n<html lang=en><meta charset=utf-8><title>GPU AI</title>\n" +
	"<h1>The site is not built: make web</h1>\n" +
	"<p>The public API answers all the same: <a href=/public/v1/summary>/public/v1/summary</a>\n"

// hashed is the folder of files whose names change with their content.
const hashed = "assets/"

// file is one of the site, in the forms that it is kept in. Text is kept compressed only.
type file struct {
	plain, gzip, brotli []byte
	media, tag          string
}

// site serves files by their path without the first slash.
type site struct {
	files map[string]*file
	pages *http.ServeMux
}

// Handler serves the site of this build. It takes GET and HEAD of every path.
func Handler() http.Handler {
	built, err := fs.Sub(dist, "dist")
	if err == nil {
		var h http.Handler
		if h, err = New(built); err == nil {
			return h
		}
	}
	panic(err) // the program itself cannot be read
}

// New serves the site in a folder as `make web` leaves it: NAME.gz and NAME.br of text, else NAME. Errors: I/O.
func New(built fs.FS) (http.Handler, error) {
	s := &site{files: map[string]*file{}, pages: http.NewServeMux()}
	for _, r := range Routes {
		s.pages.HandleFunc(r, func(http.ResponseWriter, *http.Request) {})
	}
	err := fs.WalkDir(built, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "README" {
			return err
		}
		body, err := fs.ReadFile(built, name)
		if err == nil {
			s.add(name, body)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the site: %w", err)
	}
	if s.files[index] == nil {
		s.files[index] = &file{plain: []byte(notBuilt), media: media(index), tag: tagOf([]byte(notBuilt))}
	}
	return s, nil
}

const index = "index.html"

func (s *site) add(name string, body []byte) {
	base, form := name, ""
	if e := path.Ext(name); e == ".gz" || e == ".br" {
		base, form = strings.TrimSuffix(name, e), e
	}
	f := s.files[base]
	if f == nil {
		f = &file{media: media(base)}
		s.files[base] = f
	}
	switch form {
	case ".gz":
		f.gzip, f.tag = body, tagOf(body)
	case ".br":
		f.brotli = body
	default:
		f.plain, f.tag = body, tagOf(body)
	}
}

// media is the type of a name; the table is here since that of a system differs.
func media(name string) string {
	switch e := path.Ext(name); e {
	case ".woff2":
		return "font/woff2"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css", ".html":
		return "text/" + e[1:] + "; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	default:
		if m := mime.TypeByExtension(e); m != "" {
			return m
		}
		return "application/octet-stream"
	}
}

func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:12])
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the site takes GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if f := s.files[name]; f != nil && name != index {
		h.Set("Cache-Control", "no-cache")
		if strings.HasPrefix(name, hashed) {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		f.serve(w, r, http.StatusOK)
		return
	}
	if _, page := s.pages.Handler(r); page == "" {
		if strings.HasPrefix(name, hashed) || path.Ext(name) != "" {
			http.Error(w, "the site has no such file", http.StatusNotFound)
			return
		}
		s.app(w, r, http.StatusNotFound)
		return
	}
	s.app(w, r, http.StatusOK)
}

// app serves the page that all routes begin with.
func (s *site) app(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Set("Cache-Control", "no-cache")
	s.files[index].serve(w, r, status)
}

// serve sends the form that the client takes: brotli, else gzip, else the text itself.
func (f *file) serve(w http.ResponseWriter, r *http.Request, status int) {
	h := w.Header()
	body, tag := f.plain, f.tag
	if f.gzip != nil {
		h.Add("Vary", "Accept-Encoding")
		switch takes := accepted(r); {
		case f.brotli != nil && takes("br"):
			body, tag = f.brotli, f.tag+"-br"
			h.Set("Content-Encoding", "br")
		case takes("gzip"):
			body, tag = f.gzip, f.tag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	tag = `"` + tag + `"`
	h.Set("ETag", tag)
	if status == http.StatusOK && slices.ContainsFunc(strings.Split(r.Header.Get("If-None-Match"), ","),
		func(t string) bool { return strings.TrimPrefix(strings.TrimSpace(t), "W/") == tag }) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.media)
	var from io.Reader = bytes.NewReader(body)
	if body == nil {
		z, err := gzip.NewReader(bytes.NewReader(f.gzip))
		if err != nil {
			http.Error(w, "the site cannot be read", http.StatusInternalServerError)
			return
		}
		from = z
	} else {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, from) // the reader is gone if this fails
	}
}

// accepted reports which encodings a request takes.
func accepted(r *http.Request) func(string) bool {
	taken := map[string]bool{}
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := strings.TrimPrefix(strings.ReplaceAll(rest, " ", ""), "q=")
		v, err := strconv.ParseFloat(q, 64)
		taken[strings.ToLower(strings.TrimSpace(name))] = q == "" || err == nil && v > 0
	}
	return func(name string) bool {
		if v, said := taken[name]; said {
			return v
		}
		return taken["*"]
	}
}
