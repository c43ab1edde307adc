package health

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/runtime/docker"
	"github.com/gpuai/gpuai/runtime/gpu"
)

func engine(ctx context.Context, in Input) []Finding {
	p := in.Config.Provider
	// The engine is only asked what it is, so neither a job's memory nor a name of a node is needed.
	e, err := docker.New(docker.Config{Peer8: "doctor", Host: p.DockerHost, AllowWeakRuntime: p.AllowWeakRuntime,
		Resolvers: p.Resolvers}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return []Finding{found(market.CodeEngineError, err.Error(), "")}
	}
	defer e.Close()
	var out []Finding
	for _, fact := range e.Doctor(ctx) {
		f := ok(fact.Name + ": " + fact.Value)
		if fact.Level != OK {
			fix := fact.Fix
			if _, known := lookup(fact.Code); known && fact.Code != market.CodeRuncOld {
				fix = "" // the table's
			}
			f = found(fact.Code, f.Actual, fix)
			if fact.Code == market.CodeRuncOld { // by how this system's Docker was installed
				f.Fix = strings.Split(fact.Fix, "\n")
			}
			f.Level = fact.Level
			if f.Level == Warn && f.Effect == "no-sell" {
				f.Effect = "none" // allowed on a local network
			}
		}
		out = append(out, f)
	}
	return out
}

func gpus(ctx context.Context, in Input) []Finding {
	devices, err := gpu.Inventory(ctx, gpu.Config{Simulate: in.Config.Provider.Simulate, NoCPU: true})
	return judgeGPUs(devices, err)
}

func judgeGPUs(devices []gpu.Device, err error) (out []Finding) {
	if err != nil {
		out = append(out, found(market.CodeDriverError, err.Error(), ""))
	}
	for _, d := range devices {
		text := fmt.Sprintf("%s, %d GiB, driver %s", d.Model, d.VRAMMiB>>10, d.Driver)
		if d.Unhealthy != "" {
			out = append(out, found(market.CodeGPUUnhealthy, text+": "+d.Unhealthy, ""))
			continue
		}
		out = append(out, ok(text))
	}
	if len(out) == 0 {
		out = append(out, found(market.CodeGPUNone, "no GPU with a driver", ""))
	}
	return out
}

func chain(ctx context.Context, in Input) []Finding {
	c := in.Config
	var out []Finding
	if len(c.Solana.RPC) == 0 {
		return []Finding{found(market.CodeChainUnreachable, "no endpoint is set", "")}
	}
	genesis, err := solana.Genesis(ctx, c.Solana.RPC)
	if err != nil {
		return []Finding{found(market.CodeChainUnreachable, err.Error(), "")}
	}
	n, err := p2p.NetworkByName(c.Node.Network)
	if err == nil {
		err = n.CheckGenesis(genesis)
	}
	if err != nil {
		return []Finding{found(market.CodeWrongLedger, err.Error(), "")}
	}
	out = append(out, ok(c.Node.Network+", genesis "+genesis))
	if len(c.Solana.RPC) == 1 && !c.Local() {
		out = append(out, found(market.CodeOneEndpoint, config.Shown(c.Solana.RPC), ""))
	}
	if in.PayoutWaits != "" {
		out = append(out, found(market.CodePayoutEmpty, in.PayoutWaits, ""))
	}
	if c.Provider.Payout == "" {
		out = append(out, found(market.CodePayoutUnset, "provider.payout is not set", ""))
	}
	return out
}
