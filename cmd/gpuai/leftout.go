package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// unsent tells which inputs do not travel, before anything costs.
func (a *App) unsent(left spec.Manifest) (out []api.LeftOut, more int) {
	for _, s := range left.Skipped {
		out = append(out, api.LeftOut{Direction: "input", Path: s.Path, Reason: s.Why})
	}
	a.sayLeftOut(out, left.More)
	return out, left.More
}

func (a *App) sayLeftOut(list []api.LeftOut, more int) {
	for _, l := range list {
		a.say("left out  %s %s: %s", l.Direction, clean(l.Path), clean(l.Reason))
	}
	if more > 0 {
		a.say("left out  %d more", more)
	}
}

// unwanted lists the outputs that were left out whole because the job has not succeeded: so it was ordered.
func unwanted(o api.Order) (list []api.LeftOut) {
	for _, out := range o.Outputs {
		if out.LeftOut != "" {
			list = append(list, api.LeftOut{Direction: "output", Path: out.Path,
				Reason: out.LeftOut + " (bring it: gpuai outputs " +
					word(o) + " --all)"})
		}
	}
	return list
}

// leftOut tells what of an order's files is missing or was left out, and is the error of it unless that is allowed. An
// order that never ran misses nothing.
func (a *App) leftOut(o api.Order, allow bool) (err error) {
	for _, p := range o.MissingOutputs {
		a.say("output %s does not exist", clean(p))
	}
	a.sayLeftOut(unwanted(o), 0)
	a.sayLeftOut(o.LeftOut, o.LeftOutMore)
	if o.OutputsDroppedAt != nil && !o.OutputsReady {
		err = both(err, dropped(o))
	}
	if o.OutputsCode != "" {
		err = both(err, leftOutError(o.OutputsCode, clean(o.OutputsDetail), o))
	}
	if allow {
		return err
	}
	if len(o.MissingOutputs) > 0 {
		err = both(err, leftOutError(market.CodeOutputMissing,
			"the job did not make "+clean(strings.Join(o.MissingOutputs, ", ")), o))
	}
	for _, d := range []struct {
		direction string
		code      market.Code
	}{{"input", market.CodeInputLeftOut}, {"output", market.CodeOutputLeftOut}} {
		var names []string
		for _, l := range o.LeftOut {
			if l.Direction == d.direction {
				names = append(names, clean(l.Path)+" ("+clean(l.Reason)+")")
			}
		}
		if n := len(names); n > 0 {
			more := ""
			if n > namedHere {
				names, more = names[:namedHere], fmt.Sprintf(" and %d more", n-namedHere)
			}
			err = both(err, leftOutError(d.code, strings.Join(names, ", ")+more, o))
		}
	}
	return err
}

// dropped is the error of outputs that the node does not keep any more: those that were fetched went by a prune or by
// their age, and are where they were brought.
func dropped(o api.Order) error {
	if o.OutputsFetchedAt != nil {
		return &market.Error{Code: market.CodeOutputsDropped, Kind: market.KindConflict, Op: "bring files",
			Detail: fmt.Sprintf("the node freed its copy %s; they were fetched %s", ago(o.OutputsDroppedAt.Time),
				ago(o.OutputsFetchedAt.Time)),
			Hint: "look where they were brought: gpuai show " + word(o)}
	}
	return leftOutError(market.CodeOutputsDropped,
		"given up "+ago(o.OutputsDroppedAt.Time)+", to keep the data folder small", o)
}

// namedHere is how many files an error names; the lines above it name all.
const namedHere = 3

// leftOutError is one of the errors of files that did not travel.
func leftOutError(code market.Code, detail string, o api.Order) error {
	hint := map[market.Code]string{
		market.CodeOutputMissing: "look at what the job said: gpuai logs " + word(o) +
			". If it may be missing: --allow-missing-outputs",
		market.CodeOutputLeftOut: "let the job write files and links inside its outputs. If they may be left out: " +
			"--allow-missing-outputs",
		market.CodeInputLeftOut:   "leave them out by exclude in the job file, or: --allow-missing-outputs",
		market.CodeOutputsDropped: "raise customer.spool_max, or fetch sooner",
	}[code]
	return &market.Error{Code: code, Kind: market.KindConflict, Op: "bring files", Detail: detail,
		Hint: or(hint, "gpuai show "+word(o))}
}

// both joins two errors; one alone stays what it is.
func both(a, b error) error {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return errors.Join(a, b)
}

// filesTable are the lines of show about files that are not as they were wanted.
func filesTable(t *Table, o api.Order) {
	for _, p := range o.MissingOutputs {
		t.Row("missing", clean(p))
	}
	for _, l := range append(unwanted(o), o.LeftOut...) {
		t.Row("left out", fmt.Sprintf("%s %s: %s", l.Direction, clean(l.Path), clean(l.Reason)))
	}
	if o.LeftOutMore > 0 {
		t.Row("left out", fmt.Sprintf("%d more", o.LeftOutMore))
	}
	if o.OutputsCode != "" {
		t.Row("outputs", string(o.OutputsCode)+": "+clean(o.OutputsDetail))
	}
	switch {
	case o.OutputsDroppedAt != nil && o.OutputsFetchedAt == nil:
		t.Row("outputs", "given up unfetched, "+ago(o.OutputsDroppedAt.Time)+": the data folder was full")
	case o.OutputsFetchedAt != nil:
		t.Row("outputs", "fetched "+ago(o.OutputsFetchedAt.Time))
	}
}

// told is an error in the words that people read, without what was being done.
func told(err error) string {
	var e *market.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail + " (" + string(e.Code) + ")"
	}
	return err.Error()
}

// toFetch: the order knows where its outputs go.
func toFetch(o api.Order) bool {
	for _, out := range o.Outputs {
		if out.To != "" {
			return true
		}
	}
	return false
}

func newOutputsCmd(a *App) *cobra.Command {
	var allow, held bool
	cmd := &cobra.Command{
		Use: "outputs ID [DIR]", Short: "Bring an order's outputs to where its --out said, or into a folder",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("want an order, and maybe a folder", "gpuai outputs --help")
			}
			return nil
		},
		Example: "  gpuai outputs -\n  gpuai outputs train ./out\n  gpuai outputs train --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o, err := c.Order(cmd.Context(), id)
			if err != nil {
				return err
			}
			err = a.bring(cmd, c, &o, args[1:], held)
			for i := range o.Outputs {
				if held && err == nil {
					o.Outputs[i].LeftOut = "" // it is here now
				}
			}
			lost := a.leftOut(o, allow)
			if market.CodeOf(err) == market.CodeNotFound && lost != nil {
				err = nil // why there are none
			}
			err = both(err, lost)
			return both(err, a.document("order", o))
		},
	}
	cmd.Flags().BoolVar(&held, "all", false, "also what when: success holds back")
	cmd.Flags().BoolVar(&allow, "allow-missing-outputs", false,
		"exit 0 although an output is missing, or files were left out")
	return cmd
}

// bring writes outputs to the places that were named with the order, or all of them below one folder.
func (a *App) bring(cmd *cobra.Command, c *api.Client, o *api.Order, dir []string, held bool) error {
	if len(dir) == 0 {
		if !toFetch(*o) {
			return usage("this order says no place for its outputs", "gpuai outputs "+word(*o)+" DIR")
		}
		return a.fetch(cmd.Context(), c, o, held)
	}
	if err := os.MkdirAll(dir[0], 0o755); err != nil {
		return usage(err.Error(), "name a folder that can be made")
	}
	m, err := receive(cmd.Context(), c, o.ID, held, dir[0], nil)
	if err != nil {
		return bringAgain(err, *o)
	}
	a.say("%s in %s", brought(m), dir[0])
	if m.LeftOut() > 0 {
		a.unsent(m)
		return leftOutError(market.CodeOutputLeftOut, fmt.Sprintf("%d of them", m.LeftOut()), *o)
	}
	return nil
}
