package node

import (
	"runtime"
	"strconv"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/provider"
	"github.com/gpuai/gpuai/runtime/spec"
)

// minCloseDelay is what a provider wants at least: time to record the last voucher after a close was asked for.
const minCloseDelay = time.Hour

// What stays with the rig, whatever is lent out.
const (
	keepCores = 1
	keepRAM   = 2 << 30
)

func invalid(key, detail string) error {
	return &market.Error{Code: market.CodeConfigInvalid, Kind: market.KindInvalid, Op: "read config",
		Detail: key + ": " + detail, Hint: "gpuai provider setup"}
}

// providerConfig turns the provider's section into what the role needs; an unset grant is what the rig has, less its
// own share.
func providerConfig(s *Site) (provider.Config, error) {
	c := s.Config.Provider
	payout, err := market.ParseAddress(c.Payout)
	if err != nil {
		return provider.Config{}, invalid("provider.payout", err.Error())
	}
	pc := provider.Config{
		Network: s.Host.Network().Name, ClusterTag: s.Tag, Program: s.deps.Chain.Program(), Key: s.keys.node,
		ID:       s.Host.ID(),
		Payout:   payout,
		FeePayer: s.Fees.Address(), Seed: s.keys.seed, Tick: time.Duration(c.Tick), Hold: time.Duration(c.Hold),
		Lent: provider.Lent{CPUMilli: uint32(c.Cores) * 1000, RAM: uint64(c.Memory), Disk: uint64(c.Disk),
			Resolvers: c.Resolvers},
		Dues: provider.Dues{MinCloseDelay: minCloseDelay, ClaimFee: market.Amount(c.ClaimFee),
			ChainEvery: s.ChainEvery(), SealAfter: time.Duration(c.SealAfter)},
		Version: Version, Selling: c.Sell, Private: c.Outcomes == config.OutcomesPrivate,
	}
	if s.Store.Unclean() {
		pc.Dues.OldChannels = s.Clock.Now().Add(escrow.MaxReleaseTTL)
	}
	if pc.Policy, err = policyOf(s.Config); err != nil {
		return pc, err
	}
	switch c.Egress {
	case "none":
		pc.Lent.Egress = market.EgressNone
	case "web", "":
		pc.Lent.Egress = market.EgressWeb
	case "any":
		pc.Lent.Egress = market.EgressAny
	default:
		return pc, invalid("provider.egress", strconv.Quote(c.Egress)+" is none of none, web, any")
	}
	if c.Cores == 0 {
		pc.Lent.CPUMilli = uint32(max(runtime.NumCPU()-keepCores, 1)) * 1000
	}
	if pc.Lent.RAM == 0 {
		pc.Lent.RAM = max(health.TotalRAM(), keepRAM+1<<30) - keepRAM
	}
	if pc.Lent.Disk == 0 {
		pc.Lent.Disk = lentDisk(s.Config.Node.DataDir, s.Host.Network().Local)
	}
	return pc, nil
}

// policyOf is what the provider's section says about prices and customers: all that changes while the rig sells.
func policyOf(cfg config.Config) (pol provider.Policy, err error) {
	c := cfg.Provider
	pol = provider.Policy{
		Rates: map[string]market.Rate{}, MaxTime: time.Duration(c.MaxTime), PayerStarts: int(cfg.Limits.PayerStarts),
		PayerDevices: cfg.Limits.PayerDevices,
		PrepTime:     time.Duration(cfg.Limits.PrepTime),
	}
	if pol.Rate, err = market.ParseRateSOL(c.Rate); err != nil {
		return pol, invalid("provider.rate", err.Error())
	}
	for class, text := range c.Rates {
		if pol.Rates[class], err = market.ParseRateSOL(text); err != nil {
			return pol, invalid("provider.rates."+class, err.Error())
		}
	}
	for _, l := range []struct {
		key  string
		from []string
		to   *[]spec.ImageRule
	}{{"provider.allow_images", c.AllowImages, &pol.Allow}, {"provider.deny_images", c.DenyImages, &pol.Deny}} {
		for _, text := range l.from {
			rule, err := spec.ParseImageRule(text)
			if err != nil {
				return pol, invalid(l.key, err.Error())
			}
			*l.to = append(*l.to, rule)
		}
	}
	return pol, nil
}

// usualDisk is what an order asks for that says nothing about it.
const usualDisk = 20 << 30

// lentDisk is half of what is free where the node keeps its data, on a local network all but the floor, in whole GiB;
// no less than a usual order asks for if that is there.
func lentDisk(dir string, local bool) uint64 {
	free, err := health.FreeDisk(dir)
	if err != nil {
		return usualDisk // the engine refuses to sell before the disk is full
	}
	lent := free / 2
	if local {
		lent = free - min(localDiskFloor, free)
	}
	return max(lent, min(free, usualDisk)) >> 30 << 30
}
