package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/market"
)

func file(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConfig_Precedence(t *testing.T) {
	t.Parallel()
	p := file(t, "[provider]\ntick = \"20s\"\nhold = \"3m\"\negress = \"none\"\n")
	l, err := Load(Options{
		Path: p, Env: []string{"HOME=/home/x", "GPUAI_PROVIDER_HOLD=4m", "GPUAI_PROVIDER_EGRESS=any"},
		Flags: map[string]string{"provider.egress": "web"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{time.Duration(l.Provider.Tick), time.Duration(l.Provider.Hold), l.Provider.Egress, l.Provider.ClaimFee,
		l.Node.DataDir}
	want := []any{20 * time.Second, 4 * time.Minute, "web", Money(50_000), "/home/x/.local/state/gpuai"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for key, origin := range map[string]string{"provider.tick": "file", "provider.hold": "env",
		"provider.egress": "flag", "node.log": "default"} {
		if l.Origin[key] != origin {
			t.Errorf("origin of %s = %s, want %s", key, l.Origin[key], origin)
		}
	}
}

func TestConfig_Ledger_ByNetwork(t *testing.T) {
	t.Parallel()
	for network, want := range map[string][]string{"devnet": {"https://api.devnet.solana.com"}, "localnet": {LocalRPC},
		"localnet-mine": nil} {
		l, err := Load(Options{Path: file(t, "[node]\nroles = []\n"), Env: []string{"HOME=/home/x"},
			Flags: map[string]string{"node.network": network}})
		if err != nil || l.Solana.RPC != nil {
			t.Errorf("%s without a role: %v, %v", network, l.Solana.RPC, err)
		}
		l, err = Load(Options{Path: file(t, ""), Env: []string{"HOME=/home/x"},
			Flags: map[string]string{"node.network": network}})
		if d := cmp.Diff(want, l.Solana.RPC); d != "" ||
			(want == nil) != (market.CodeOf(err) == market.CodeConfigInvalid) {
			t.Errorf("%s: %s, %v", network, d, err)
		}
	}
}

func TestConfig_BadInput_NamesPlaceAndNearestKey(t *testing.T) {
	t.Parallel()
	home := "HOME=/home/x"
	for name, c := range map[string]struct {
		text  string
		env   []string
		flags map[string]string
		want  string
	}{
		"unknown key": {text: "[node]\n\nnetwrok = \"devnet\"\n",
			want: ":3:1: node.netwrok is no key; did you mean node.network?"},
		"no unit":        {text: "[provider]\nmemory = \"24\"\n", want: ":2:10: provider.memory"},
		"wrong type":     {text: "[provider]\ncores = \"many\"\n", want: ":2:9: provider.cores"},
		"syntax":         {text: "[provider\n", want: ":1:"},
		"unknown env":    {env: []string{"GPUAI_NODE_NETWROK=x"}, want: "GPUAI_NODE_NETWROK is no setting"},
		"unknown flag":   {flags: map[string]string{"node.rols": "x"}, want: "did you mean node.roles?"},
		"network":        {text: "[node]\nnetwork = \"mainet\"\n", want: "none of localnet"},
		"provider unset": {text: "[node]\nroles = [\"provider\"]\n", want: "needs an address"},
		"simulate":       {text: "[provider]\nsimulate_gpu = [\"t4\"]\n", want: "for localnet only"},
		"tick":           {text: "[provider]\ntick = \"1s\"\n", want: "within 5s to 1m"},
		"hold":           {text: "[provider]\nhold = \"1h\"\n", want: "within one tick to 10m"},
		"rate":           {text: "[provider]\nrates = { t4 = \"-1\" }\n", want: "no model with a rate"},
		"image tag":      {text: "[provider]\ndeny_images = [\"python:3\"]\n", want: "provider.deny_images"},
		"image rule":     {text: "[provider]\nallow_images = [\"docker.io/a b\"]\n", want: "provider.allow_images"},
		"starts":         {text: "[limits]\npayer_starts = \"3/d\"\n", want: ":2:16: limits.payer_starts"},
		"devices":        {text: "[limits]\npayer_devices = -1\n", want: "limits.payer_devices: -1 is negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Options{Path: file(t, c.text), Env: append(c.env, home), Flags: c.flags})
			if market.CodeOf(err) != market.CodeConfigInvalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want config-invalid with %q", err, c.want)
			}
		})
	}
	if _, err := Load(Options{Path: "/nowhere/at/all", Env: []string{home}}); market.CodeOf(
		err) != market.CodeConfigInvalid {
		t.Errorf("a named file that is missing: %v", err)
	}
	if _, err := Load(Options{Env: []string{"HOME=" + t.TempDir()}}); err != nil {
		t.Errorf("no file at all must do: %v", err)
	}
}

func TestConfig_Example_IsCompleteAndEqualsDefaults(t *testing.T) {
	t.Parallel()
	example := strings.ReplaceAll(Example(), "\n#", "\n")
	var lines []string
	for line := range strings.Lines(example) { // only the comments of people start with "# "
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "# ") {
			lines = append(lines, line)
		}
	}
	text := strings.Join(lines, "")
	var want Config
	if err := want.defaults(); err != nil {
		t.Fatal(err)
	}
	l := Loaded{Origin: map[string]string{}}
	if err := l.file("example", []byte(text)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, k := range Keys() {
		if l.Origin[k.Name] != "file" {
			t.Errorf("%s is not in the example", k.Name)
		}
		if k.Help == "" {
			t.Errorf("%s has no help", k.Name)
		}
		if got, want := k.Text(&l.Config), k.Text(&want); got != want {
			t.Errorf("%s = %q in the example, default %q", k.Name, got, want)
		}
	}
}

func TestSet_KeepsCommentsAndRefusesInvalid(t *testing.T) {
	t.Parallel()
	env := []string{"HOME=/home/x"}
	p := file(t, "# mine\n[node]\nlog = \"info\" # quiet\n\n[p2p]\nbootstrap = [\n  \"/a\", # one\n  "+
		"\"/b\",\n]\ninfra = false\n")
	if _, err := Set(Options{Path: p, Env: env}, map[string]string{
		"node.log": "debug", "node.network": "localnet", "solana.rpc": "http://127.0.0.1:1", "p2p.bootstrap": "/c,/d",
		"provider.rates": `t4=0.1/h`,
	}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	want := "# mine\n[node]\nlog = \"debug\" # quiet\nnetwork = \"localnet\"\n\n[p2p]\nbootstrap = [\"/c\", " +
		"\"/d\"]\ninfra = false\n\n" +
		"[provider]\nrates = { \"t4\" = \"0.1/h\" }\n\n[solana]\nrpc = [\"http://127.0.0.1:1\"]\n"
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	for key, text := range map[string]string{"node.log": "loud", "node.logs": "info", "provider.cores": "x",
		"provider.tick": "5"} {
		if _, err := Set(Options{Path: p, Env: env},
			map[string]string{key: text}); market.CodeOf(err) != market.CodeConfigInvalid {
			t.Errorf("Set(%s=%s) = %v, want config-invalid", key, text, err)
		}
	}
	again, err := os.ReadFile(p)
	if err != nil || string(again) != want {
		t.Errorf("a refused change touched the file: %v", err)
	}
}

func TestValues_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"0s", "90s", "15m", "30d", "250ms", "36h"} {
		var d, again Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s -> %s -> %s %v", s, d, again, err)
		}
	}
	for _, s := range []string{"0B", "1500MB", "20GiB"} {
		var n, again Size
		if err := n.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText([]byte(n.String())); err != nil || again != n {
			t.Errorf("%s -> %s -> %s %v", s, n, again, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(Example(), "node.log", "debug")
	f.Add("[provider]\nrates = { a = \"1\" }\n", "provider.rates", "a=1,b=2")
	f.Add("node = 1", "p2p.listen", "a,\"b\\")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		l := Loaded{Origin: map[string]string{}}
		_ = l.file("f", []byte(text))
		_ = l.Validate()
		k, ok := find(key)
		if !ok || k.set(&l.Config, value) != nil {
			return
		}
		var again Config
		if err := k.set(&again, k.Text(&l.Config)); err != nil {
			t.Errorf("%s: %q does not read back: %v", key, k.Text(&l.Config), err)
		}
		_ = edit(text, key, k.literal(&l.Config))
	})
}

// TestConfig_Metrics: beyond loopback only with a token.
func TestConfig_Metrics(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"metrics = \"127.0.0.1:7071\"": true, "metrics = \"[::1]:7071\"": true, "metrics = \"0.0.0.0:7071\"": false,
		"metrics = \"7071\"": false,
		"metrics = \"0.0.0.0:7071\"\nmetrics_token_file = \"/t\"": true, "": true,
	} {
		_, err := Load(Options{Path: file(t, "[api]\n"+text+"\n"), Env: []string{"HOME=/home/x"}})
		if ok != (err == nil) || !ok && market.CodeOf(err) != market.CodeConfigInvalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
