package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/rest"
)

func newHelpCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND|TOPIC|CODE]", Short: "Help on a command, a topic, or the code of an error",
		Example: "  gpuai help run\n  gpuai help job-file\n  gpuai help no-offer-fits",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) == 0 {
				return found.Help()
			}
			code := market.Code(args[0])
			if m, ok := explain(code); ok && len(args) == 1 {
				return a.print("code", map[string]any{"code": code, "meanings": []meaning{m}},
					func(t *Table) { codeTable(t, code, m) })
			}
			return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "help",
				Detail: strings.Join(args, " ") + " is no command, topic or code" + nearHelp(cmd.Root(), args[0]),
				Hint:   "gpuai --help"}
		},
	}
}

// nearHelp names the command or code that is nearest to a word that is none.
func nearHelp(root *cobra.Command, word string) string {
	var known []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand() {
			known = append(known, c.Name())
		}
	}
	for _, m := range market.Meanings() {
		known = append(known, string(m.Code))
	}
	if near := market.Nearest(strings.ToLower(word), known, 2); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// meaning is what a code means where it occurs, why it occurs there, and what to do. Exit is a command's exit code for
// it, 0 where it is none of a command.
type meaning struct {
	Means string `json:"means"`
	Why   string `json:"why"`
	Fix   string `json:"fix"`
	Fault string `json:"fault,omitempty"`
	Exit  int    `json:"exit,omitempty"`
	Page  string `json:"page"`
}

// whys say where a code occurs.
var whys = map[market.Place]string{
	market.AtCommand: "a command, the node's API, a setting or the log says it",
	market.AtDoctor:  "gpuai doctor finds it, and the node looks hourly",
	market.AtRefusal: "the other side said no: nothing was begun and nothing is owed",
	market.AtEnd:     "it is why a job is over; what was metered is paid, whoever's fault it was",
	market.AtJobFile: "a job file, or a flag that stands for a key of it, is read before anything is asked or paid",
}

// explain is the row of a code as people read it; false: there is no such code.
func explain(code market.Code) (meaning, bool) {
	m, ok := code.Meaning()
	if !ok {
		return meaning{}, false
	}
	m = m.Plain()
	out := meaning{Means: m.Means, Why: whys[m.Place], Fix: m.Fix, Page: m.Page()}
	switch m.Place {
	case market.AtEnd:
		out.Fault = m.Fault.String()
	case market.AtCommand, market.AtJobFile:
		out.Exit = rest.ProblemOf(&market.Error{Code: code, Kind: m.Kind, Op: "look up"}).Exit()
	}
	return out, true
}

// codeTable shows what is known of a code; of what doctor checks also its level and effect.
func codeTable(t *Table, code market.Code, m meaning) {
	t.Row(string(code), m.Means)
	t.Row("why", m.Why)
	if m.Fault != "" {
		t.Row("fault", m.Fault)
	}
	t.Row("what to do", m.Fix)
	if m.Exit != 0 {
		t.Row("exit code", fmt.Sprintf("%d of a command that fails with it", m.Exit))
	}
	for _, p := range health.Problems() {
		if p.Code != code {
			continue
		}
		t.Row("effect", p.Level+map[string]string{"no-sell": ": nothing is sold until it is mended",
			"tier": ": this machine counts for less", "none": ": nothing stops for it"}[p.Effect])
	}
	t.Row("page", m.Page)
}
