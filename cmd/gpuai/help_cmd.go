package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/docs"
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
			if rows := explain(args[0]); len(rows) > 0 && len(args) == 1 {
				return a.print("code", map[string]any{"code": args[0], "meanings": rows},
					func(t *Table) { codeTable(t, args[0], rows) })
			}
			return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "help",
				Detail: strings.Join(args, " ") + " is no command, topic or code", Hint: "gpuai --help"}
		},
	}
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

// whys say of the rows below each of these beginnings of a line, in the lists of docs/errors, where a code of theirs
// occurs.
var whys = []struct{ line, why string }{
	{"# Codes of commands", "a command, the node's API, a setting or the log says it"},
	{"Doctor's", "gpuai doctor finds it, and the node looks hourly"},
	{"Refusals", "the other side said no: nothing was begun and nothing is owed"},
	{"Ends", "it is why a job is over; what was metered is paid, whoever's fault it was"},
	{"# Codes of job files",
		"a job file, or a flag that stands for a key of it, is read before anything is asked or paid"},
}

// explain looks a code up in the lists of docs/errors: code, fault if it ends a lease, what it means, what to do.
func explain(code string) (out []meaning) {
	for _, name := range []string{"commands.md", "leases.md", "jobs.md"} {
		raw, err := docs.Errors.ReadFile("errors/" + name)
		if err != nil {
			continue // tested: all three are there
		}
		why := "a job file is read before anything is asked or paid"
		for line := range strings.Lines(string(raw)) {
			for _, w := range whys {
				if strings.HasPrefix(line, w.line) {
					why = w.why
				}
			}
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			n := len(cells)
			if n < 3 || strings.TrimSpace(cells[0]) != "`"+code+"`" {
				continue
			}
			m := meaning{Means: plain(cells[n-2]), Why: why, Fix: plain(cells[n-1]),
				Page: "docs/errors/" + code + ".md"}
			switch {
			case n > 3:
				m.Fault = plain(cells[1])
			case why == whys[0].why:
				m.Exit = exitOfCode(code, market.KindConflict)
			case name == "jobs.md":
				m.Exit = exitOfCode(code, market.KindInvalid)
			}
			out = append(out, m)
		}
	}
	return out
}

// exitOfCode is the exit code of a command that ends with this code.
func exitOfCode(code string, kind market.Kind) int {
	return rest.ProblemOf(&market.Error{Code: code, Kind: kind, Op: "look up"}).Exit()
}

// codeTable shows what is known of a code; of what doctor checks also its words, level and effect.
func codeTable(t *Table, code string, rows []meaning) {
	for _, r := range rows {
		t.Row(code, r.Means)
		t.Row("why", r.Why)
		if r.Fault != "" {
			t.Row("fault", r.Fault)
		}
		t.Row("what to do", r.Fix)
		if r.Exit != 0 {
			t.Row("exit code", fmt.Sprintf("%d of a command that fails with it", r.Exit))
		}
	}
	for _, p := range health.Problems() {
		if p.Code != code {
			continue
		}
		t.Row("doctor says", p.Title)
		t.Row("effect", p.Level+map[string]string{"no-sell": ": nothing is sold until it is mended",
			"tier": ": this machine counts for less", "none": ": nothing stops for it"}[p.Effect])
		if len(rows) == 0 || p.Fix != rows[len(rows)-1].Fix {
			t.Row("fix", p.Fix)
		}
	}
	t.Row("page", "docs/errors/"+code+".md")
}

var link = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// plain drops the marks of Markdown.
func plain(s string) string {
	return strings.ReplaceAll(link.ReplaceAllString(strings.TrimSpace(s), "$1"), "`", "")
}
