package config

import (
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Ranges that hold on every network but the local ones; the protocol has its own, wider ones.
const (
	minTick = 5 * time.Second
	maxTick = time.Minute
	maxHold = 10 * time.Minute
)

// Names of roles.
const (
	RoleProvider = "provider"
	RoleCustomer = "customer"
	RoleIndexer  = "indexer"
)

// Roles are what node.roles may name.
var Roles = []string{RoleProvider, RoleCustomer, RoleIndexer}

// Words of provider.outcomes.
const (
	OutcomesPublic  = "public"
	OutcomesPrivate = "private"
)

// Local reports whether the node's network is a local one, where test relaxations are allowed.
func (c *Config) Local() bool {
	return c.Node.Network == "localnet" || strings.HasPrefix(c.Node.Network, "localnet-")
}

// Least limits of a circuit on public networks: leases plan with them.
const (
	minRelayTime = 30 * time.Minute
	minRelayData = 4 << 20
)

func (c *Config) validateRelay(bad func(key, format string, a ...any)) {
	p := c.P2P
	switch {
	case !c.Local() && p.PublicRules:
		bad("p2p.public_rules", "only a local network can choose: %s has them always", c.Node.Network)
	case !c.Local() && (time.Duration(p.RelayTime) < minRelayTime || p.RelayData < minRelayData):
		bad("p2p.relay_time", "a circuit lasts 30m and 4MiB at least on %s: leases plan with that", c.Node.Network)
	case time.Duration(p.RelayTime) < 10*time.Second || p.RelayData < 64<<10:
		bad("p2p.relay_time", "a circuit lasts 10s and 64KiB at least")
	}
}

// Validate joins the faults of a configuration. Errors: *market.Error config-invalid.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key, format string, a ...any) { errs = append(errs, invalid(key+": "+format, a...)) }
	if !c.Local() && c.Node.Network != "devnet" && c.Node.Network != "mainnet" {
		bad("node.network", "%q is none of localnet, localnet-NAME, devnet, mainnet", c.Node.Network)
	}
	for _, r := range c.Node.Roles {
		if !slices.Contains(Roles, r) {
			bad("node.roles", "%q is none of %s", r, strings.Join(Roles, ", "))
		}
	}
	if c.P2P.Quiet && (c.P2P.Infra ||
		slices.ContainsFunc(c.Node.Roles, func(r string) bool { return r != "customer" })) {
		bad("p2p.quiet", "only a customer can be: the offers of others go by its gossip")
	}
	c.validateRelay(bad)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Node.Log) {
		bad("node.log", "%q is none of debug, info, warn, error", c.Node.Log)
	}
	if !filepath.IsAbs(c.Node.DataDir) {
		bad("node.data_dir", "%q is no absolute path", c.Node.DataDir)
	}
	if c.API.Socket == "" {
		bad("api.socket", "is empty")
	}
	if at, err := netip.ParseAddrPort(c.API.Listen); c.API.Listen != "" && (err != nil || !at.Addr().IsLoopback()) {
		bad("api.listen", "%q is no address of this machine alone, like 127.0.0.1:7072", c.API.Listen)
	}
	if _, err := netip.ParseAddrPort(c.Indexer.Listen); c.Indexer.Listen != "" && err != nil {
		bad("indexer.listen", "%q is no address like 127.0.0.1:8080", c.Indexer.Listen)
	}
	// else it would be taken for the name of a file
	if scheme, _, ok := strings.Cut(c.Indexer.Store, "://"); ok && scheme != "postgres" && scheme != "postgresql" {
		bad("indexer.store", "%q is no kind of database that is known: a file, or postgres://…", scheme)
	}
	c.metrics(bad)
	// that one is off, whatever its endpoint
	if len(c.Node.Roles) > 0 && len(c.Solana.RPC) == 0 && c.Node.Network != "mainnet" {
		bad("solana.rpc", "a node with a role needs an endpoint")
	}
	for i, e := range c.Solana.RPC {
		u, err := url.Parse(e) // its error repeats the address, which may hold a key
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			bad("solana.rpc", "endpoint %d is no http address", i+1)
		}
	}
	if time.Duration(c.Customer.Away) > market.MaxAway {
		bad("customer.away", "%s is more than 24h", time.Duration(c.Customer.Away))
	}
	c.provider(bad)
	return errors.Join(errs...)
}

// metrics keeps what a node earns and does from the network unless a token guards it.
func (c *Config) metrics(bad func(key, format string, a ...any)) {
	if c.API.Metrics == "" {
		return
	}
	at, err := netip.ParseAddrPort(c.API.Metrics)
	switch {
	case err != nil:
		bad("api.metrics", "%q is no address like 127.0.0.1:7071", c.API.Metrics)
	case !at.Addr().IsLoopback() && c.API.MetricsTokenFile == "":
		bad("api.metrics", "%q is not loopback, which needs api.metrics_token_file", c.API.Metrics)
	}
}

func (c *Config) provider(bad func(key, format string, a ...any)) {
	p := &c.Provider
	if p.Rate != "" {
		if r, err := market.ParseRateSOL(p.Rate); err != nil || r == 0 {
			bad("provider.rate", "%q is no rate, write SOL per hour as in 0.0024/h", p.Rate)
		}
	}
	for class, text := range p.Rates {
		if r, err := market.ParseRateSOL(text); err != nil || r == 0 || !market.ValidClass(class) {
			bad("provider.rates", "%s = %q is no model with a rate", class, text)
		}
	}
	if p.Payout != "" {
		switch a, err := market.ParseAddress(p.Payout); {
		case err != nil:
			bad("provider.payout", "%q is no Solana address", p.Payout)
		case escrow.ReservedPayee(a):
			bad("provider.payout", "%s can never be paid: it is a reserved address", p.Payout)
		}
	}
	if p.Outcomes != OutcomesPublic && p.Outcomes != OutcomesPrivate {
		bad("provider.outcomes", "%q is none of public, private", p.Outcomes)
	}
	if !slices.Contains([]string{"none", "web", "any"}, p.Egress) {
		bad("provider.egress", "%q is none of none, web, any", p.Egress)
	}
	for key, rules := range map[string][]string{"provider.allow_images": p.AllowImages,
		"provider.deny_images": p.DenyImages} {
		for _, text := range rules {
			if _, err := spec.ParseImageRule(text); err != nil {
				bad(key, "%v", err)
			}
		}
	}
	if c.Limits.PrepTime < 0 {
		bad("limits.prep_time", "%s is negative", c.Limits.PrepTime)
	}
	if c.Limits.PayerDevices < 0 {
		bad("limits.payer_devices", "%d is negative", c.Limits.PayerDevices)
	}
	if p.Cores < 0 {
		bad("provider.cores", "%d is negative", p.Cores)
	}
	tick, hold := time.Duration(p.Tick), time.Duration(p.Hold)
	if tick < time.Second || tick > maxTick || tick < minTick && !c.Local() {
		bad("provider.tick", "%s is not within 5s to 1m (1s on localnet)", p.Tick)
	}
	if hold < tick || hold > maxHold {
		bad("provider.hold", "%s is not within one tick to 10m", p.Hold)
	}
	if !c.Local() && (len(p.Simulate) > 0 || p.AllowWeakRuntime) {
		bad("provider", "simulate_gpu and allow_weak_runtime are for localnet only")
	}
	if slices.Contains(c.Node.Roles, "provider") {
		if p.Payout == "" {
			bad("provider.payout", "a provider needs an address to be paid at")
		}
		if p.Rate == "" {
			bad("provider.rate", "a provider needs a rate")
		}
	}
}
