package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
)

// freePort is a loopback address that nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// running starts a node without roles, its API and its metrics.
func running(t *testing.T, set string) (*Backend, *api.Client) {
	t.Helper()
	dir, err := os.MkdirTemp("", "node") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := config.Options{Path: filepath.Join(dir, "config.toml"), Env: []string{"HOME=" + dir}}
	text := "[node]\nnetwork = \"localnet-metrics\"\nroles = []\ndata_dir = \"" + dir +
		"/d\"\n[p2p]\nlisten = [\"/ip4/127.0.0.1/udp/0/quic-v1\"]\n[api]\n" + set
	if err := os.WriteFile(o.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n, err := New(l.Config, Deps{}, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	serve := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	ready := make(chan struct{})
	serve("node", func() error { return n.Serve(ctx, ready) })
	<-ready
	b, err := NewBackend(n, o, cancel)
	if err != nil {
		t.Fatal(err)
	}
	serve("backend", func() error { return b.Serve(ctx) })
	serve("api", func() error { return rest.Serve(ctx, l.API.Socket, api.New(b.API(), slog.New(slog.DiscardHandler))) })
	c := api.Dial(l.API.Socket)
	eventually(t, "the API does not answer", func() bool { _, err := c.Status(ctx); return err == nil })
	return b, c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func scrape(t *testing.T, addr, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestMetrics_RealNodeIsScraped(t *testing.T) {
	t.Parallel()
	addr := freePort(t)
	b, c := running(t, "metrics = \""+addr+"\"\n")
	if _, err := c.Order(t.Context(), "order_nobody"); err == nil {
		t.Fatal("an order that does not exist was found")
	}
	var text string
	eventually(t, "no scrape, or no health yet", func() bool {
		_, text = scrape(t, addr, "")
		return strings.Contains(text, `gpuai_health{code="chain-unreachable"} 1`)
	})
	if err := b.n.db.Commit(t.Context(), store.Change{Events: []store.Event{{
		At: time.Now(), Topic: "lease", ID: "lease_1", Role: "provider", State: "ended", Cause: "job-oom", Money: true,
	}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease's end is not counted", func() bool {
		_, text = scrape(t, addr, "")
		return strings.Contains(text, `gpuai_lease_ends_total{code="job-oom",fault="customer"} 1`)
	})
	for _, want := range []string{
		`gpuai_build_info{go="go`, `version="` + Version + `"} 1`, "gpuai_p2p_peers 0",
		`gpuai_api_requests_total{op="GET /orders/{id}",status="409"} 1`,
		"gpuai_store_commit_seconds_count ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	for _, never := range []string{b.n.host.ID().String(), "lease_1", "/ip4", "order_nobody", "gpuai_book_offers",
		"gpuai_fee_payer_lamports"} {
		if strings.Contains(text, never) {
			t.Errorf("%s stands in\n%s", never, text)
		}
	}
}

func TestMetrics_Token(t *testing.T) {
	t.Parallel()
	addr, file := freePort(t), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	running(t, "metrics = \""+addr+"\"\nmetrics_token_file = \""+file+"\"\n")
	eventually(t, "no scrape", func() bool { code, _ := scrape(t, addr, "open sesame"); return code == 200 })
	for _, wrong := range []string{"", "open"} {
		if code, text := scrape(t, addr, wrong); code != 401 || strings.Contains(text, "gpuai_") {
			t.Errorf("token %q: %d %s", wrong, code, text)
		}
	}
}

// TestEvents_RealNode: what the node does by itself reaches /events over the socket, with the document that GET
// returns.
func TestEvents_RealNode(t *testing.T) {
	t.Parallel()
	b, c := running(t, "")
	if _, err := c.PatchConfig(t.Context(), api.SettingsPatch{Set: map[string]string{"node.name": "x"}}); err == nil {
		t.Error("a key that does not exist was set")
	}
	if restart, err := c.PatchConfig(t.Context(),
		api.SettingsPatch{Set: map[string]string{"node.log": "debug"}}); err != nil || len(restart) != 1 {
		t.Errorf("restart %v, %v", restart, err)
	}
	var rows []rest.Event
	eventually(t, "no row of health", func() bool {
		var err error
		if rows, _, _, err = b.Events(t.Context(), 0, 100); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(rows[len(rows)-1].Data)+string(rows[0].Data), `"gpuai.health/v1"`)
	})
	var config, health int
	for _, row := range rows {
		text := string(row.Data)
		switch {
		case strings.Contains(text, `"cause":"config-changed"`) && row.Topic == "security" &&
			strings.Contains(text, `"id":"node.log"`):
			config++
		case strings.Contains(text, `"cause":"checked"`) && row.Topic == "health" &&
			strings.Contains(text, `"findings":[`):
			health++
		}
	}
	if config != 1 || health != 1 {
		t.Errorf("%d changes of settings, %d of health in %d rows", config, health, len(rows))
	}
}
