package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gpuai/gpuai/node/config"
)

// said is a log that another goroutine writes.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
	come chan string
}

var listens = regexp.MustCompile(`address=(\S+)`)

// Write tells the address once it is said.
func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := listens.FindSubmatch(b); m != nil && bytes.Contains(b, []byte("API listens")) {
		s.come <- string(m[1])
	}
	return s.text.Write(b)
}

// TestListen_NodeAnswersItsTokenOnly runs a node with api.listen and calls it as the command line does, and as a web
// page would.
func TestListen_NodeAnswersItsTokenOnly(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "cli") // t.TempDir is too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	o := config.Options{Env: []string{"HOME=" + dir}, Flags: map[string]string{
		"node.network": "localnet", "node.roles": "", "node.data_dir": dir,
		"p2p.listen": "/ip4/127.0.0.1/udp/0/quic-v1",
		"api.listen": "127.0.0.1:0",
	}}
	c, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log := &said{come: make(chan string, 1)}
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- runNode(ctx, o, c.Config, slog.New(slog.NewTextHandler(log, nil))) })
	defer wg.Wait()
	defer cancel()
	var addr string
	select {
	case addr = <-log.come:
	case err := <-ended:
		t.Fatalf("the node ended: %v\n%s", err, log.text.String())
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		a := &App{in: strings.NewReader(""), out: &out, err: &out, env: []string{"HOME=" + dir}}
		code := a.Main(ctx, append([]string{"--set", "node.data_dir=" + dir}, args...))
		return code, out.String()
	}
	if code, out := run("--api", "http://"+addr, "status", "--json"); code != 0 || !strings.Contains(out, `"peer_id"`) {
		t.Errorf("status: %d %s", code, out)
	}
	other := filepath.Join(dir, "other.token")
	if err := os.WriteFile(other, []byte(strings.Repeat("x", 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no-credentials":   {"--api", "http://" + addr, "--set", "api.token_file=" + other, "status"},
		"file-error":       {"--api", "http://" + addr, "--set", "api.token_file=" + dir + "/none", "status"},
		"bad-usage":        {"--api", "http://203.0.113.7:80", "status"},
		"node-unreachable": {"--api", "http://127.0.0.1:1", "status"},
	} {
		if code, out := run(args...); code == 0 || !strings.Contains(out, "error["+want+"]") {
			t.Errorf("%s: %d %s", want, code, out)
		}
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/api/v1/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://evil.example")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a web page: %d, %v", resp.StatusCode, err)
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
