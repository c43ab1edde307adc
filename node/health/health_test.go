package health

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
)

func codes(found []Finding) (out []string) {
	for _, f := range found {
		if f.Code != "" {
			out = append(out, string(f.Code))
		}
	}
	return out
}

func TestProblems_TableIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[market.Code]bool{}
	for _, p := range Problems() {
		if seen[p.Code] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(string(p.Code)) {
			t.Errorf("code %q stands twice or is not kebab-case", p.Code)
		}
		seen[p.Code] = true
		if p.Title == "" || p.Fix == "" || p.Level != Warn && p.Level != Fail ||
			!slices.Contains([]string{"none", "tier", "no-sell"}, p.Effect) {
			t.Errorf("row of %s is incomplete: %+v", p.Code, p)
		}
		if p.Level == Fail && p.Effect != "no-sell" {
			t.Errorf("%s fails without an effect", p.Code)
		}
	}
}

func TestDoctor_DataFolder(t *testing.T) {
	t.Parallel()
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]market.Code{open: market.CodeDataDirOpen, "": market.CodeDataDirUnusable,
		file: market.CodeDataDirUnusable} {
		var c config.Config
		c.Node.DataDir = dir
		got := codes(Check(t.Context(), Input{Config: c, Only: []string{"rig"}}))
		if !slices.Contains(got, string(want)) {
			t.Errorf("folder %q: found %v, want %s", dir, got, want)
		}
	}
	entries, err := os.ReadDir(open)
	if err != nil || len(entries) != 0 {
		t.Errorf("doctor left %v, %v", entries, err)
	}
}

func TestDoctor_Chain(t *testing.T) {
	t.Parallel()
	rpc := func(genesis string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":"` + genesis + `"}`))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	const devnet = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
	for name, c := range map[string]struct {
		network string
		rpc     []string
		want    market.Code
		offline bool
	}{
		"no endpoint":  {network: "devnet", want: market.CodeChainUnreachable},
		"nobody there": {network: "devnet", rpc: []string{"http://127.0.0.1:1"}, want: market.CodeChainUnreachable},
		"other ledger": {network: "devnet", rpc: []string{rpc("4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY")},
			want: market.CodeWrongLedger},
		"public ledger": {network: "localnet", rpc: []string{rpc(devnet)}, want: market.CodeWrongLedger},
		"one endpoint":  {network: "devnet", rpc: []string{rpc(devnet)}, want: market.CodeOneEndpoint},
		"only buys":     {network: "devnet", rpc: []string{rpc(devnet)}, want: market.CodePayoutUnset},
	} {
		var cfg config.Config
		cfg.Node.Network, cfg.Solana.RPC = c.network, c.rpc
		got := codes(Check(t.Context(), Input{Config: cfg, Only: []string{"chain"}}))
		if !slices.Contains(got, string(c.want)) {
			t.Errorf("%s: found %v, want %s", name, got, c.want)
		}
		if off := Check(t.Context(), Input{Config: cfg, Only: []string{"chain"}, Offline: true}); len(off) != 0 {
			t.Errorf("%s: offline found %v", name, off)
		}
	}
}

func TestDoctor_NoEngineNoGPU(t *testing.T) {
	t.Parallel()
	var c config.Config
	c.Provider.DockerHost = "unix://" + filepath.Join(t.TempDir(), "none.sock")
	got := Check(t.Context(), Input{Config: c, Only: []string{"engine"}})
	if !slices.Contains(codes(got), "engine-error") || got[0].Group != "engine" || got[0].Level != Fail {
		t.Errorf("found %+v, want engine-error", got)
	}
	c.Provider.Simulate = []string{"t4:2"}
	if got := Check(t.Context(), Input{Config: c, Only: []string{"gpu"}}); len(got) != 2 || got[0].Level != OK {
		t.Errorf("two simulated GPUs: found %+v", got)
	}
	c.Provider.Simulate = []string{"no such model"}
	if got := codes(Check(t.Context(), Input{Config: c, Only: []string{"gpu"}})); !slices.Contains(got,
		"driver-error") {
		t.Errorf("found %v, want driver-error", got)
	}
}
