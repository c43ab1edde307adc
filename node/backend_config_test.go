package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/runtime/gpu"
)

// sellingNode is the API's side of a node whose provider has the settings of a file.
func sellingNode(t *testing.T, text string) *Backend {
	t.Helper()
	o := config.Options{Path: filepath.Join(t.TempDir(), "config.toml"), Env: []string{"HOME=" + t.TempDir()}}
	if err := os.WriteFile(o.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	pol, err := policyOf(l.Config)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(filepath.Join(t.TempDir(), "p", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	prov := provider.New(provider.Config{Policy: pol, Selling: true}, []gpu.Device{gpu.CPUSlot("rig")},
		provider.Deps{Store: db, Clock: clock, Log: log})
	host, err := p2p.New(p2p.Config{Network: "localnet", Key: p2ptest.Key(1)}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{log: log, db: db, host: host}
	n.site.Config = l.Config
	n.roles.Store(&[]Role{Seller{Provider: prov}})
	b, err := NewBackend(n, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPatchConfig_Hot_AtOnce: prices, limits and rules reach the provider with the call, and the file; other keys are
// named as waiting.
func TestPatchConfig_Hot_AtOnce(t *testing.T) {
	t.Parallel()
	b := sellingNode(t, "[provider]\nrate = \"0.002/h\" # mine\nhold = \"2m\"\n")
	restart, err := b.PatchConfig(context.Background(), api.SettingsPatch{Set: map[string]string{
		"provider.rate": "0.003/h", "provider.rates": "cpu=0.001/h", "provider.deny_images": "evil/x",
		"provider.allow_images": "docker.io", "provider.max_time": "2h",
		"limits.payer_starts": "5/h", "limits.payer_devices": "2", "provider.hold": "1m",
	}})
	if err != nil || !slices.Equal(restart, []string{"provider.hold"}) {
		t.Fatalf("restart for %v, %v", restart, err)
	}
	got := b.n.Provider().View().Policy
	if got.Rate != 3_000_000 || got.Rates[market.ClassCPU] != 1_000_000 || got.PayerStarts != 5 ||
		got.PayerDevices != 2 || got.MaxTime.Hours() != 2 ||
		len(got.Deny) != 1 || got.Deny[0].String() != "docker.io/evil/x" || len(got.Allow) != 1 {
		t.Errorf("%+v", got)
	}
	if v := b.n.Provider().View().Devices[0]; v.Rate != 1_000_000 {
		t.Errorf("the device costs %d", v.Rate)
	}
	if text, err := os.ReadFile(b.Panel.Settings.Path); err != nil ||
		!strings.Contains(string(text), "rate = \"0.003/h\" # mine\n") {
		t.Errorf("%s %v", text, err)
	}
}

// TestPatchConfig_Refused_ChangesNothing: neither the file nor the provider, and the value is not repeated.
func TestPatchConfig_Refused_ChangesNothing(t *testing.T) {
	t.Parallel()
	b := sellingNode(t, "[provider]\nrate = \"0.002/h\"\n")
	for key, value := range map[string]string{"provider.rate": "s3cret", "provider.rat": "1",
		"provider.deny_images": "s3cret:1", "limits.payer_starts": "s3cret"} {
		_, err := b.PatchConfig(context.Background(),
			api.SettingsPatch{Set: map[string]string{key: value, "limits.payer_devices": "3"}})
		if market.CodeOf(err) != market.CodeConfigInvalid || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if got := b.n.Provider().View().Policy; got.Rate != 2_000_000 || got.PayerDevices != 0 {
		t.Errorf("%+v", got)
	}
	if text, err := os.ReadFile(b.Panel.Settings.Path); err != nil ||
		string(text) != "[provider]\nrate = \"0.002/h\"\n" {
		t.Errorf("%s %v", text, err)
	}
}

// TestPatchConfig_StartedByFlag_FlagGoesBefore: what the node was started with stays in effect, though the file
// changes.
func TestPatchConfig_StartedByFlag_FlagGoesBefore(t *testing.T) {
	t.Parallel()
	b := sellingNode(t, "[provider]\nrate = \"0.002/h\"\n")
	b.Panel.Settings.Flags = map[string]string{"provider.rate": "0.009/h"}
	if _, err := b.PatchConfig(context.Background(),
		api.SettingsPatch{Set: map[string]string{"provider.rate": "0.003/h"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.n.Provider().View().Policy.Rate; got != 9_000_000 {
		t.Errorf("rate %d", got)
	}
}
