package config

import (
	"slices"

	"github.com/gpuai/gpuai/market"
)

// NotOpen says why nobody can trade on devnet today, and OpenOne how to have a network at once.
const (
	NotOpen = "devnet is not open yet: the escrow program is not deployed there and it has no meeting point"
	OpenOne = "`gpuai localnet` in one terminal, `gpuai config set node.network=localnet` in the other"
)

// Open refuses a network that nobody can trade on. Who names an own endpoint or meeting point, or is one, knows of a
// deployment.
// Error: *market.Error network-off.
func (c *Config) Open() error {
	own := c.Solana.RPC != nil && !slices.Equal(c.Solana.RPC, endpoints[c.Node.Network])
	if c.Node.Network != "devnet" || own || len(c.P2P.Bootstrap) > 0 || c.P2P.Infra {
		return nil
	}
	return &market.Error{Code: market.CodeNetworkOff, Kind: market.KindDenied, Op: "reach network", Detail: NotOpen,
		Hint: OpenOne}
}
