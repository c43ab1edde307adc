package config

import (
	"testing"

	"github.com/gpuai/gpuai/market"
)

// TestConfig_Away_AtMostADay: no lease can have more, so every order would be refused.
func TestConfig_Away_AtMostADay(t *testing.T) {
	t.Parallel()
	for away, code := range map[string]market.Code{"0s": "", "24h": "", "25h": market.CodeConfigInvalid,
		"99999h": market.CodeConfigInvalid} {
		o := Options{Path: file(t, "[customer]\naway = \""+away+"\"\n"), Env: []string{"HOME=/home/x"},
			Flags: map[string]string{"node.network": "localnet"}}
		if _, err := Load(o); market.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", away, err, code)
		}
	}
}
