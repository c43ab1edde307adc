package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
	"github.com/gpuai/gpuai/node/health"
)

const exitDoctor = 9

// doctorOptions are the flags of gpuai doctor.
type doctorOptions struct {
	only               []string
	offline, list, fix bool
}

func newDoctorCmd(a *App) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use: "doctor", Short: "What this machine can do, what is wrong and how to mend it; needs no node, changes " +
			"nothing without --fix", Args: exact(0, "no arguments"),
		Example: "  gpuai doctor\n  gpuai doctor --only engine,gpu\n  gpuai doctor --fix",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.list {
				return a.print("problems", map[string]any{"problems": health.Problems()}, func(t *Table) {
					for _, p := range health.Problems() {
						t.Row(string(p.Code), p.Level, p.Effect, p.Title)
					}
				})
			}
			for _, group := range o.only {
				if !health.Group(group) {
					return usage("--only "+group+" is no group of checks", "--only "+strings.Join(health.Groups(), ","))
				}
			}
			return a.doctor(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "groups of checks: "+strings.Join(health.Groups(), ", "))
	f.BoolVar(&o.offline, "offline", false, "ask nothing outside this machine")
	f.BoolVar(&o.list, "list", false, "all problems that it knows")
	f.BoolVar(&o.fix, "fix", false, "mend what is safe to mend, and print the commands for the rest")
	return cmd
}

func (a *App) doctor(ctx context.Context, o doctorOptions) error {
	l, err := a.load()
	if err != nil && market.CodeOf(err) != market.CodeConfigInvalid {
		return err
	}
	if err != nil {
		a.say("the settings are wrong, some checks may be off: %v", err)
	}
	in := health.Input{Config: l.Config, Only: o.only, Offline: o.offline, Net: a.runningNode(ctx, l)}
	found := health.Check(ctx, in)
	if o.fix {
		if err := a.mend(in, found); err != nil {
			return err
		}
		found = health.Check(ctx, in)
	}
	report := health.Report{Findings: found}
	if err := a.print("doctor", api.DoctorOf("gpuai.doctor/v1", report),
		func(t *Table) { findingsTable(t, found) }); err != nil {
		return err
	}
	fails, warns := 0, 0
	for _, f := range found {
		switch f.Level {
		case health.Fail:
			fails++
		case health.Warn:
			warns++
		}
	}
	a.say("%s, %s", count(fails, "failure", "failures"), count(warns, "warning", "warnings"))
	if fails > 0 {
		return exitCode(exitDoctor)
	}
	return nil
}

// runningNode asks the node of these settings what it sees of the network; nil if none answers.
func (a *App) runningNode(ctx context.Context, l config.Loaded) *health.Net {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a.which = true // a question of doctor's own
	socket, err := a.socketOf(l)
	if err != nil {
		return nil
	}
	s, err := api.Dial(socket).Status(ctx)
	if err != nil || s.Network != l.Node.Network {
		return nil
	}
	return &health.Net{Peers: s.Peers, Addrs: s.Addresses}
}

// mend says each safe fix and makes it; the others stand in the report that follows. It is told even with --quiet: it
// changes the machine.
func (a *App) mend(in health.Input, found []health.Finding) error {
	safe, byHand := health.Repairs(in, found)
	for _, r := range safe {
		fmt.Fprintln(a.err, "fixes: "+r.Say)
		if err := r.Do(); err != nil {
			return fmt.Errorf("%s: %w", r.Say, err)
		}
	}
	if len(byHand) > 0 {
		a.say("the rest is to be done by hand, as the report says")
	}
	return nil
}

func findingsTable(t *Table, found []health.Finding) {
	for _, f := range found {
		t.Row(f.Level, f.Group, f.Actual, string(f.Code))
		for _, fix := range f.Fix {
			t.Row("", "fix", fix, "")
		}
		if f.Why != "" {
			t.Row("", "why", fmt.Sprint(f.Why), "")
		}
	}
}
