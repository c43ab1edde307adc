//go:build web

// Package test drives the built site in a real browser against real indexers. It needs Node, Chromium and `make web`.
package test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node/indexer"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/web"
)

const genesis = "a genesis of tests"

// serve runs an indexer over the index in a file, which holds what fill put there, and returns where it listens.
func serve(t *testing.T, name string, fill func(*db.DB)) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), name+".db")
	d, err := db.Open(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	fill(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := indexer.New(t.Context(),
		indexer.Config{Network: network, Genesis: genesis, Store: at, Listen: "127.0.0.1:0"},
		nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return x.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-x.Loaded():
	case <-ctx.Done():
		t.Fatal("the indexer ended: ", context.Cause(ctx))
	case <-time.After(time.Minute):
		t.Fatal("the indexer does not begin to listen")
	}
	return fromMany(t, x.Address())
}

// fromMany stands before an indexer and asks it from another address of this machine each time: a browser that walks
// through hundreds of pages would else use up what one address may ask.
func fromMany(t *testing.T, at string) string {
	t.Helper()
	var n atomic.Uint32
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		i := n.Add(1)
		from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/200%200), byte(1+i%200))}
		return (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, addr)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: at}) }}
	s := httptest.NewServer(proxy)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// run runs a script of this folder under Node and shows what it says.
func run(t *testing.T, about map[string]any, args ...string) {
	t.Helper()
	b, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GPUAI_WEB="+string(b))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("node %s: %v\n%s", strings.Join(args, " "), err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

func built(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("../dist/index.html.gz"); err != nil {
		t.Fatal("the site is not built: make web")
	}
}

// marketOf is the indexer that most scripts look at, and what they find there.
func marketOf(t *testing.T) map[string]any {
	t.Helper()
	var ids map[string]string
	full := serve(t, "full", func(d *db.DB) { ids = filled(t, d) })
	empty := serve(t, "empty", func(*db.DB) {})
	var peers, leases []string
	bad := serve(t, "hostile", func(d *db.DB) { peers, leases = hostile(t, d) })
	return map[string]any{"full": full, "empty": empty, "ids": ids, "hostile": bad, "peers": peers, "leases": leases,
		"texts": hostileTexts()}
}

// TestSite runs each script in a browser of its own.
func TestSite(t *testing.T) {
	built(t)
	about := marketOf(t)
	scripts, err := filepath.Glob("*.spec.mjs")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, s := range scripts {
		t.Run(strings.TrimSuffix(s, ".spec.mjs"), func(t *testing.T) { run(t, about, "--test", "test/"+s) })
	}
}

// TestApp runs the tests of the app's own code: no browser.
func TestApp(t *testing.T) {
	found, err := filepath.Glob("../src/*/*.test.ts")
	if err != nil || len(found) == 0 {
		t.Fatal("no tests", err)
	}
	args := []string{"--import", "./test/ts.mjs", "--test"}
	for _, f := range found {
		args = append(args, strings.TrimPrefix(f, "../"))
	}
	run(t, nil, args...)
}

// TestRoutes: the server knows the pages that the app has, and no other.
func TestRoutes(t *testing.T) {
	built(t)
	src, err := os.ReadFile("../src/router.tsx")
	if err != nil {
		t.Fatal(err)
	}
	var app []string
	for _, m := range regexp.MustCompile(`\tpage\(\s*"(/[^"]*)"`).FindAllStringSubmatch(string(src), -1) {
		app = append(app, regexp.MustCompile(`\$(\w+)`).ReplaceAllString(m[1], "{$1}"))
	}
	app[0] += "{$}" // the first page; else it were the root of all
	if !slices.Equal(app, web.Routes) {
		t.Errorf("the app has\n%q, the server\n%q", app, web.Routes)
	}
	at := serve(t, "routes", func(*db.DB) {})
	for path, want := range map[string]int{"/": 200, "/gpus/x": 200, "/none": 404, "/assets/none.js": 404} {
		resp, err := http.Get(at + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if resp.StatusCode != want || resp.Header.Get("Content-Security-Policy") != web.Policy {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
}
