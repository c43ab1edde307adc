package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/health"
)

const exitDoctor = 9

func newDoctorCmd(a *App) *cobra.Command {
	var only []string
	var offline, list bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "What this machine can do, what is wrong and how to mend it; changes nothing, needs no node", Args: exact(0, "no arguments"),
		Example: "  gpuai doctor\n  gpuai doctor --only engine,gpu",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				return a.print("problems", map[string]any{"problems": health.Problems()}, func(t *Table) {
					for _, p := range health.Problems() {
						t.Row(p.Code, p.Level, p.Effect, p.Title)
					}
				})
			}
			for _, group := range only {
				if !health.Group(group) {
					return usage("--only "+group+" is no group of checks", "--only "+strings.Join(health.Groups(), ","))
				}
			}
			l, err := a.load()
			if err != nil && market.CodeOf(err) != "config-invalid" {
				return err
			}
			if err != nil {
				a.say("the settings are wrong, some checks may be off: %v", err)
			}
			found := health.Check(cmd.Context(), health.Input{Config: l.Config, Only: only, Offline: offline})
			if err := a.print("doctor", map[string]any{"findings": found}, func(t *Table) { findingsTable(t, found) }); err != nil {
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
			a.say("%d failures, %d warnings", fails, warns)
			if fails > 0 {
				return exitCode(exitDoctor)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&only, "only", nil, "groups of checks: "+strings.Join(health.Groups(), ", "))
	f.BoolVar(&offline, "offline", false, "ask nothing outside this machine")
	f.BoolVar(&list, "list", false, "all problems that it knows")
	return cmd
}

func findingsTable(t *Table, found []health.Finding) {
	for _, f := range found {
		t.Row(f.Level, f.Group, f.Actual, f.Code)
		for _, fix := range f.Fix {
			t.Row("", "fix", fix, "")
		}
		if f.Why != "" {
			t.Row("", "why", fmt.Sprint(f.Why), "")
		}
	}
}
