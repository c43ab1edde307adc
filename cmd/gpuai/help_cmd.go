package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/docs"
	"github.com/gpuai/gpuai/market"
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
			if rows := explain(args[0]); len(rows) > 0 && len(args) == 1 {
				return a.print("code", map[string]any{"code": args[0], "meanings": rows}, func(t *Table) {
					for _, r := range rows {
						t.Row(args[0], r.Means)
						t.Row("what to do", r.Fix)
					}
				})
			}
			return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "help", Detail: strings.Join(args, " ") + " is no command, topic or code", Hint: "gpuai --help"}
		},
	}
}

// meaning is what a code means where it occurs, and what to do.
type meaning struct {
	Means string `json:"means"`
	Fix   string `json:"fix"`
}

// explain looks a code up in the lists of docs/errors: code, fault if it ends a lease, what it means, what to do.
func explain(code string) (out []meaning) {
	for _, name := range []string{"commands.md", "leases.md", "jobs.md"} {
		raw, err := docs.Errors.ReadFile("errors/" + name)
		if err != nil {
			continue // tested: all three are there
		}
		for line := range strings.Lines(string(raw)) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if n := len(cells); n >= 3 && strings.TrimSpace(cells[0]) == "`"+code+"`" {
				out = append(out, meaning{plain(cells[n-2]), plain(cells[n-1])})
			}
		}
	}
	return out
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plain drops the marks of Markdown.
func plain(s string) string {
	return strings.ReplaceAll(link.ReplaceAllString(strings.TrimSpace(s), "$1"), "`", "")
}
