package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/gpuai/gpuai/market"
)

// maxFile bounds a configuration file; ours has 2 KiB.
const maxFile = 1 << 20

// Options say where settings come from. Path: --config, which must exist; empty: found by Path. Env: as os.Environ.
// Flags: key -> text.
type Options struct {
	Path  string
	Env   []string
	Flags map[string]string
}

// Loaded is a configuration with the origin of each key: "default", "file", "env" or "flag". Path is the file, "" if
// none was found.
type Loaded struct {
	Config
	Path   string
	Origin map[string]string
}

func invalid(format string, a ...any) error {
	return &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "read config",
		Detail: fmt.Sprintf(format, a...), Hint: "gpuai config check"}
}

// unknownKey is invalid for a word that is no key: the list of keys helps, a check of the file does not.
func unknownKey(format string, a ...any) error {
	return &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "read config",
		Detail: fmt.Sprintf(format, a...), Hint: "gpuai config show"}
}

// Load reads, merges by precedence and validates. Errors: *market.Error config-invalid, all faults joined.
func Load(o Options) (Loaded, error) {
	l, err := read(o)
	if err != nil {
		return l, err
	}
	l.bySystem(o.Env)
	return l, l.Validate()
}

func read(o Options) (Loaded, error) {
	l := Loaded{Origin: map[string]string{}}
	if err := l.defaults(); err != nil {
		return l, err
	}
	for _, k := range Keys() {
		l.Origin[k.Name] = "default"
	}
	path, must := Path(o)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		l.Path = path
		if err := l.file(path, raw); err != nil {
			return l, err
		}
	case must || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
		return l, invalid("%s: %v", path, err)
	}
	if err := l.env(o.Env); err != nil {
		return l, err
	}
	for name, text := range o.Flags {
		if err := l.put(name, text, "flag", "--set "+name); err != nil {
			return l, err
		}
	}
	return l, nil
}

// Path returns the file that Load reads and whether it was named, so that it must exist: --config, GPUAI_CONFIG, the
// service's file if readable, the user's.
func Path(o Options) (path string, named bool) {
	for _, p := range []string{o.Path, lookup(o.Env, "GPUAI_CONFIG")} {
		if p == "" {
			continue
		}
		if abs, err := filepath.Abs(p); err == nil {
			p = abs // two programs that name one file agree on its name
		}
		return p, true
	}
	const service = "/etc/gpuai/config.toml"
	if f, err := os.Open(service); err == nil {
		_ = f.Close()
		return service, false
	}
	return filepath.Join(userDir(o.Env, "XDG_CONFIG_HOME", ".config"), "gpuai", "config.toml"), false
}

func lookup(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

func userDir(env []string, name, below string) string {
	if d := lookup(env, name); d != "" {
		return d
	}
	home := lookup(env, "HOME")
	if runtime.GOOS == "windows" {
		home = lookup(env, "USERPROFILE")
	}
	return filepath.Join(home, below)
}

func (c *Config) defaults() error {
	for _, k := range Keys() {
		if k.Default == "" {
			continue
		}
		if err := k.set(c, k.Default); err != nil {
			return fmt.Errorf("default of %s: %w", k.Name, err)
		}
	}
	return nil
}

func (l *Loaded) file(path string, raw []byte) error {
	if len(raw) > maxFile || !utf8.Valid(raw) {
		return invalid("%s: larger than 1 MiB, or not UTF-8", path)
	}
	d := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields()
	err := d.Decode(&l.Config)
	var strict *toml.StrictMissingError
	var one *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		var errs []error
		for _, e := range strict.Errors {
			row, col := e.Position()
			name := strings.Join(e.Key(), ".")
			errs = append(errs, invalid("%s:%d:%d: %s is no key%s", path, row, col, name, DidYouMean(name)))
		}
		return errors.Join(errs...)
	case errors.As(err, &one):
		row, col := one.Position()
		return invalid("%s:%d:%d: %s: %s", path, row, col, strings.Join(one.Key(), "."), one.Error())
	case err != nil:
		return invalid("%s: %v", path, err)
	}
	for _, name := range named(raw) {
		l.Origin[name] = "file"
	}
	return nil
}

// named lists the keys that a valid file sets.
func named(raw []byte) (out []string) {
	var tree map[string]map[string]any
	if toml.Unmarshal(raw, &tree) != nil {
		return nil
	}
	for _, k := range Keys() {
		section, name, _ := strings.Cut(k.Name, ".")
		if _, ok := tree[section][name]; ok {
			out = append(out, k.Name)
		}
	}
	return out
}

// env takes GPUAI_SECTION_KEY; a name with a known section but no such key is a mistake, not somebody else's variable.
func (l *Loaded) env(env []string) error {
	byEnv, sections := map[string]Key{}, map[string]bool{}
	for _, k := range Keys() {
		byEnv[k.Env] = k
		section, _, _ := strings.Cut(k.Name, ".")
		sections[strings.ToUpper(section)] = true
	}
	for _, s := range env {
		name, text, _ := strings.Cut(s, "=")
		rest, ok := strings.CutPrefix(name, "GPUAI_")
		if !ok {
			continue
		}
		k, known := byEnv[name]
		section, _, nested := strings.Cut(rest, "_")
		switch {
		case known:
			if err := l.put(k.Name, text, "env", name); err != nil {
				return err
			}
		case nested && sections[section]:
			return invalid("environment: %s is no setting", name)
		}
	}
	return nil
}

func (l *Loaded) put(name, text, origin, from string) error {
	k, ok := find(name)
	if !ok {
		return unknownKey("%s: %s is no key%s", from, name, DidYouMean(name))
	}
	if err := k.set(&l.Config, text); err != nil {
		return invalid("%s: %v", from, err)
	}
	l.Origin[name] = origin
	return nil
}

// endpoints are the ledgers that a node with a role asks if it names none; that of localnet is what gpuai localnet
// serves.
var endpoints = map[string][]string{"devnet": {"https://api.devnet.solana.com"}, "localnet": {LocalRPC}}

// LocalRPC is where gpuai localnet serves its ledger if the port is free.
const LocalRPC = "http://127.0.0.1:8899"

// bySystem fills what depends on system and network.
func (l *Loaded) bySystem(env []string) {
	if l.Node.DataDir == "" {
		l.Node.DataDir = filepath.Join(userDir(env, "XDG_STATE_HOME", filepath.Join(".local", "state")), "gpuai")
	}
	if l.API.Socket == "" {
		l.API.Socket = filepath.Join(l.Node.DataDir, "api.sock")
	}
	if l.API.TokenFile == "" {
		l.API.TokenFile = filepath.Join(l.Node.DataDir, "api.token")
	}
	if l.Indexer.Store == "" {
		l.Indexer.Store = filepath.Join(l.Node.DataDir, "index.db")
	}
	if l.Solana.RPC == nil && len(l.Node.Roles) > 0 {
		l.Solana.RPC = endpoints[l.Node.Network]
	}
	if l.Local() && l.Origin["limits.payer_starts"] == "default" {
		l.Limits.PayerStarts = 0 // who tries things out starts many jobs that fail
	}
	if l.Local() && l.Origin["limits.prep_time"] == "default" {
		l.Limits.PrepTime = 0
	}
}
