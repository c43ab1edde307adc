package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestSet_InfraNode_OfNoRole: a node that only relays is set up by commands alone.
func TestSet_InfraNode_OfNoRole(t *testing.T) {
	t.Parallel()
	o := Options{Path: filepath.Join(t.TempDir(), "config.toml"), Env: []string{"HOME=" + t.TempDir()}}
	if _, err := Set(o, map[string]string{"node.network": "localnet", "node.roles": "[]",
		"p2p.infra": "true"}); err != nil {
		t.Fatal(err)
	}
	l, err := Load(o)
	if err != nil || len(l.Node.Roles) != 0 || !l.P2P.Infra {
		t.Fatalf("roles %q, infra %v, %v", l.Node.Roles, l.P2P.Infra, err)
	}
}

// TestValidate_RelayAndPublicRules: public networks have one limit of relays and one way to judge addresses.
func TestValidate_RelayAndPublicRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sets map[string]string
		bad  string
	}{
		"defaults":       {map[string]string{"node.network": "devnet"}, ""},
		"more on devnet": {map[string]string{"node.network": "devnet", "p2p.relay_data": "16MiB"}, ""},
		"less on devnet": {map[string]string{"node.network": "devnet", "p2p.relay_data": "1MiB"},
			"p2p.relay_time"},
		"shorter on devnet": {map[string]string{"node.network": "devnet", "p2p.relay_time": "1m"},
			"p2p.relay_time"},
		"less on localnet": {map[string]string{"node.network": "localnet", "p2p.relay_data": "1MiB",
			"p2p.relay_time": "1m"}, ""},
		"nothing on localnet": {map[string]string{"node.network": "localnet", "p2p.relay_time": "0s"},
			"p2p.relay_time"},
		"public rules on devnet": {map[string]string{"node.network": "devnet", "p2p.public_rules": "true"},
			"p2p.public_rules"},
		"public rules on a localnet": {map[string]string{"node.network": "localnet-a", "p2p.public_rules": "true",
			"solana.rpc": "http://127.0.0.1:1"}, ""},
	} {
		_, err := Load(Options{Env: []string{"HOME=" + t.TempDir()}, Flags: c.sets})
		if (err == nil) != (c.bad == "") || err != nil && (market.CodeOf(err) != market.CodeConfigInvalid ||
			!strings.Contains(err.Error(), c.bad)) {
			t.Errorf("%s: %v, want a fault of %q", name, err, c.bad)
		}
	}
}
