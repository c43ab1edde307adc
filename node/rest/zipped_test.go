package rest_test

import (
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/rest"
)

type long struct {
	Text string `json:"text"`
}

// TestCached_Gzip: who takes gzip gets the same answer in fewer bytes, and its tag counts for both.
func TestCached_Gzip(t *testing.T) {
	t.Parallel()
	m := rest.New(rest.Options{Title: "t", Version: "1", Base: "/v1", State: func(...string) string { return "s1" }},
		slog.New(slog.DiscardHandler))
	defer m.Close()
	asked := 0
	m.Add("all", rest.GetCached("/long", "long", "a long answer", func(context.Context, *struct{}) (long, error) {
		asked++
		return long{strings.Repeat("much the same ", 1000)}, nil
	}, "x"))
	ask := func(header ...string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest("GET", "/v1/long", nil), httptest.NewRecorder()
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		m.ServeHTTP(w, r)
		return w
	}
	plain := ask()
	for range 2 {
		got := ask("Accept-Encoding", "br, gzip;q=0.8")
		z, err := gzip.NewReader(got.Body)
		if err != nil || got.Header().Get("Content-Encoding") != "gzip" ||
			got.Header().Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%v: %v", err, got.Header())
		}
		if body, err := io.ReadAll(z); err != nil || string(body) != plain.Body.String() {
			t.Errorf("%v: other bytes", err)
		}
		if again := ask("Accept-Encoding", "gzip", "If-None-Match", got.Header().Get("ETag")); again.Code != 304 {
			t.Errorf("with its tag: %d", again.Code)
		}
	}
	if got := ask("Accept-Encoding", "gzip;q=0, identity"); got.Header().Get("Content-Encoding") != "" {
		t.Error("gzip to one who does not take it")
	}
	if plain.Header().Get("Content-Encoding") != "" || asked != 1 {
		t.Errorf("%v, asked %d times", plain.Header(), asked)
	}
}
