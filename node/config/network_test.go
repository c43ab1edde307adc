package config

import (
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestOpen_DevnetIsNot: the default network is refused with both commands that help; who names a deployment of it, or
// is another network, is not.
func TestOpen_DevnetIsNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags map[string]string
		open  bool
	}{
		"no settings":   {nil, false},
		"rented out":    {map[string]string{"customer.max_total": "1"}, false},
		"localnet":      {map[string]string{"node.network": "localnet"}, true},
		"named local":   {map[string]string{"node.network": "localnet-a", "solana.rpc": LocalRPC}, true},
		"own endpoint":  {map[string]string{"solana.rpc": "http://127.0.0.1:1"}, true},
		"meeting point": {map[string]string{"p2p.bootstrap": "/ip4/1.2.3.4/tcp/1/p2p/x"}, true},
		"is one":        {map[string]string{"p2p.infra": "true"}, true},
	} {
		l, err := Load(Options{Env: []string{"HOME=" + t.TempDir()}, Flags: c.flags})
		if err != nil {
			t.Fatal(err)
		}
		err = l.Open()
		if c.open != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if c.open {
			continue
		}
		e, ok := err.(*market.Error)
		if !ok || e.Code != market.CodeNetworkOff || !strings.Contains(e.Hint, "gpuai localnet") ||
			!strings.Contains(e.Hint, "gpuai config set node.network=localnet") {
			t.Errorf("%s: %+v", name, err)
		}
	}
}
