package indexer

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/web"
)

// TestBeside: the API keeps its paths and its form of errors, all others are the site's.
func TestBeside(t *testing.T) {
	t.Parallel()
	d, err := db.Open(t.Context(), t.TempDir()+"/index.db")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := public.New(public.Config{Index: d, Network: network}, slog.New(slog.DiscardHandler))
	defer m.Close()
	h := beside(public.Guarded(m))
	ask := func(path string) *http.Response {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Result()
	}
	for path, want := range map[string]struct {
		media  string
		status int
	}{
		public.Base + "/summary": {"application/json", 200},
		public.Base + "/nothing": {"application/problem+json", 404},
		public.Base:              {"application/problem+json", 404}, "/": {"text/html", 200},
		"/network": {"text/html", 200},
		"/public":  {"text/html", 404}, "/public/v10": {"text/html", 404},
	} {
		r := ask(path)
		if r.StatusCode != want.status || !strings.HasPrefix(r.Header.Get("Content-Type"), want.media) ||
			r.Header.Get("RateLimit") == "" || (r.Header.Get("Content-Security-Policy") == web.Policy) !=
			(want.media == "text/html") {
			t.Errorf("%s: %d %v", path, r.StatusCode, r.Header)
		}
	}
}
