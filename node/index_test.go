package node_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/node"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/indexer/public"
)

// TestNode_Indexer: a node with this role alone serves the public API, with no ledger that answers.
func TestNode_Indexer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var c config.Config
	c.Node.Network, c.Node.DataDir, c.Node.Roles = "devnet", dir, []string{config.RoleIndexer}
	c.P2P.Listen, c.Solana.RPC = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}, []string{"http://127.0.0.1:1"}
	c.Indexer.Store, c.Indexer.Listen = filepath.Join(dir, "index.db"), "127.0.0.1:0"
	n, err := node.New(c, node.Deps{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Serve(ctx, ready); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer stop()
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatal("it is not ready")
	}
	x, err := node.Guest[node.Index](n, config.RoleIndexer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + x.Address() + public.Base + "/summary")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s public.Summary
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.Network != "devnet" || resp.StatusCode != 200 {
		t.Errorf("%v %d %+v", err, resp.StatusCode, s)
	}
}
