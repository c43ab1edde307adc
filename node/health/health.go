// Package health tells what a machine can do and what keeps it from selling or buying, each with its fix. Doctor needs
// no node.
//
// Invariants: a code is never renamed; each finding below ok has a code of the table; a check never fails, it finds;
// nothing is changed.
// Concurrency: Check runs its groups at once, each within 5 s. Persistence: none. Next: Check, problems in problems.go.
package health

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
)

// Levels of a finding.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "fail"
)

// groupTime bounds one group of checks, allTime all of them.
const (
	groupTime = 5 * time.Second
	allTime   = 20 * time.Second
)

// Finding is one line of the report. Effect says what a problem costs: "none", "tier" (listed, but worse), "no-sell".
type Finding struct {
	Group  string      `json:"group"`
	Code   market.Code `json:"code,omitempty"`
	Level  string      `json:"level"`
	Effect string      `json:"effect,omitempty"`
	Actual string      `json:"actual"`
	// Required, Op and Unit say what a measured number should have been, as in "< 50 ms"; Op is empty where nothing was
	// measured.
	Required float64  `json:"required,omitempty"`
	Op       string   `json:"op,omitempty"`
	Unit     string   `json:"unit,omitempty"`
	Why      string   `json:"why,omitempty"`
	Fix      []string `json:"fix,omitempty"`
}

// Input says what to look at. Offline: ask nothing outside this machine. Only: groups, empty = all. Net: of the running
// node, nil if none runs.
type Input struct {
	Net     *Net
	Config  config.Config
	Only    []string
	Offline bool
	// PayoutWaits says which sum waits for a payout account that cannot take it; "" while nothing waits
	PayoutWaits string
}

type check struct {
	group   string
	outside bool
	run     func(ctx context.Context, in Input) []Finding
}

var checks = []check{
	{"rig", false, rig}, {"net", true, network}, {"engine", false, engine}, {"gpu", false, gpus},
	{"chain", true, chain},
}

// Groups are the names of the groups of checks.
func Groups() (out []string) {
	for _, c := range checks {
		out = append(out, c.group)
	}
	return out
}

// Group reports whether a group of that name exists.
func Group(name string) bool { return slices.Contains(Groups(), name) }

// Check runs the checks; findings come in the order of the groups.
func Check(ctx context.Context, in Input) []Finding {
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	results := make([][]Finding, len(checks))
	var g errgroup.Group
	for i, c := range checks {
		if len(in.Only) > 0 && !slices.Contains(in.Only, c.group) || c.outside && in.Offline {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, groupTime)
			defer cancel()
			results[i] = c.run(ctx, in)
			return nil
		})
	}
	_ = g.Wait() // checks do not fail
	out := []Finding{}
	for i, r := range results {
		for _, f := range r {
			f.Group = checks[i].group
			out = append(out, f)
		}
	}
	return out
}

func ok(actual string) Finding { return Finding{Level: OK, Actual: actual} }

// needs adds the number that was required.
func (f Finding) needs(op string, n float64, unit string) Finding {
	f.Op, f.Required, f.Unit = op, n, unit
	return f
}

// found makes a finding of the table; fix replaces the table's if it is not empty.
func found(code market.Code, actual, fix string) Finding {
	f := Finding{Code: code, Level: Fail, Effect: "no-sell", Actual: actual}
	if p, known := lookup(code); known {
		f.Level, f.Effect, f.Why = p.Level, p.Effect, p.Title
		if p.Fix != "" {
			f.Fix = []string{p.Fix}
		}
	}
	if fix != "" {
		f.Fix = []string{fix}
	}
	return f
}
