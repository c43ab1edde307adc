package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
)

// setupQuestion is one of the things that provider setup must know; want says what an answer looks like and where it
// comes from.
type setupQuestion struct {
	text, want string
	value      *string
	ok         func(string) bool
}

func setupQuestions(payout, rate *string) []setupQuestion {
	return []setupQuestion{
		{
			"payout address (only receives, no key needed)",
			"a Solana address, 32 to 44 letters and digits: any wallet app or exchange shows one under Receive",
			payout, func(s string) bool { _, err := market.ParseAddress(s); return err == nil },
		},
		{
			"rate per device and hour, in SOL", "a number of SOL above 0, as in 0.0024 or 0.0024/h",
			rate, func(s string) bool { r, err := market.ParseRateSOL(s); return err == nil && r > 0 },
		},
	}
}

// askedWait bounds how long setup looks for what others ask.
const askedWait = 2 * time.Second

// sayAsked tells what others ask for, by model, if a node runs that knows.
func (a *App) sayAsked(ctx context.Context) {
	c, err := a.client()
	if err != nil {
		return // nobody to ask
	}
	ctx, cancel := context.WithTimeout(ctx, askedWait)
	defer cancel()
	list, err := c.Offers(ctx, market.Sort{})
	if err != nil || len(list) == 0 {
		return
	}
	a.say("others ask now: %s", strings.Join(asked(list), " · "))
}

// asked is the range of rates of each model, with how many rigs ask them.
func asked(list []api.Offer) (out []string) {
	for _, model := range modelsOf(list) {
		var rates []api.Money
		for _, o := range list {
			if clean(o.Class) == model {
				rates = append(rates, o.Rate)
			}
		}
		by := func(x, y api.Money) int { return cmp.Compare(x.Lamports(), y.Lamports()) }
		low, high := slices.MinFunc(rates, by), slices.MaxFunc(rates, by)
		text := low.Lamports().SOL()
		if high.Lamports() != low.Lamports() {
			text += " to " + high.Lamports().SOL()
		}
		out = append(out, fmt.Sprintf("%s %s SOL/h (%s)", model, text, count(len(rates), "rig", "rigs")))
	}
	return out
}

// sayShares warns of a share that the machine does not have.
func (a *App) sayShares(o config.Options, values map[string]string) {
	flags := map[string]string{}
	for k, v := range o.Flags {
		flags[k] = v
	}
	for k, v := range values {
		flags[k] = v
	}
	o.Flags = flags
	l, err := config.Load(o)
	if err != nil {
		return // told by who checked them
	}
	for _, f := range health.Shares(l.Provider, runtime.NumCPU(), health.TotalRAM()) {
		a.say("note: %s", f.Actual)
	}
}
