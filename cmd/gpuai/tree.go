package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// usageText puts examples first; the flags that every command has stand in gpuai --help only, so that a page fits on a
// screen.
const usageText = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}Usage: {{.UseLine}}{{if .HasAvailableSubCommands}}{{if .Groups}}{{$cmds := .Commands}}{{range $g := .Groups}}

{{$g.Title}}{{range $cmds}}{{if and (eq .GroupID $g.ID) (or .IsAvailableCommand (eq .Name "help") (eq .Name "job-file"))}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{else}}

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasParent}}

Flags of every command: gpuai --help
{{else}}

More: gpuai help COMMAND, gpuai help job-file, and gpuai help CODE for the code of an error
{{end}}`

// finish gives a command and all below it what they have in common: errors with a code, the time limit, and groups that
// know their words.
func (a *App) finish(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		a.finish(c)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.DisableFlagsInUseLine = true
		if cmd.HasParent() {
			cmd.Use += " COMMAND"
		}
		cmd.Args, cmd.RunE = groupArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err != nil && market.CodeOf(err) == "" { // cobra's own
				err = usage(err.Error(), cmd.CommandPath()+" --help")
			}
			return err
		}
	}
	if strings.HasPrefix(cmd.Use, cmd.Name()+" ID") {
		if cmd.Long == "" {
			cmd.Long = cmd.Short + ".\n\nID is an order, a lease, the beginning of one that fits no other, a name " +
				"of --name, or - for the order placed last."
		}
		cmd.ValidArgsFunction = a.completeOrders
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := a.checkGlobals(); err != nil {
				return err
			}
			if a.timeout > 0 {
				ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
				defer cancel()
				cmd.SetContext(ctx)
			}
			return run(cmd, args)
		}
	}
}

// alone lets a group without a word do what its command of that name does.
func alone(group *cobra.Command, name string) {
	for _, c := range group.Commands() {
		if c.Name() == name {
			group.Use, group.Args, group.RunE = group.Use+" [COMMAND]", groupArgs, c.RunE
		}
	}
}

// completeWait bounds what a press of the tab key may take.
const completeWait = time.Second

// completeOrders offers the ids and names of orders, if a node runs.
func (a *App) completeOrders(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // a folder, or a command
	}
	a.which = true // nobody reads talk there
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	list, err := c.Orders(ctx, api.OrderQuery{All: true, Newest: mostListed})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	out := []string{"-"}
	for _, o := range list {
		out = append(out, o.ID+"\t"+clean(o.Name)+" "+state(o))
		if o.Name != "" && !slices.Contains(out, clean(o.Name)) {
			out = append(out, clean(o.Name))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// groupArgs refuses words that are no command of it.
func groupArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if err := wordFault(args[0]); err != nil && !cmd.HasParent() {
		return err
	}
	cmd.SuggestionsMinimumDistance = 2 // letters; cobra sets it in its own message only
	what := args[0] + " is no command of " + cmd.CommandPath()
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		what += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(what, cmd.CommandPath()+" --help")
}

// checkGlobals checks the flags that every command has.
func (a *App) checkGlobals() error {
	if w := []string{"auto", "plain", "none"}; !slices.Contains(w, a.progress) {
		return usage("--progress "+a.progress+" is none of "+strings.Join(w, ", "), "gpuai --help")
	}
	if w := []string{"auto", "always", "never"}; !slices.Contains(w, a.color) {
		return usage("--color "+a.color+" is none of "+strings.Join(w, ", "), "gpuai --help")
	}
	a.mute = a.mute || a.progress == "none"
	return nil
}

// between is cobra's argument check with our error.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage(fmt.Sprintf("%s takes %s", cmd.CommandPath(), what), cmd.CommandPath()+" --help")
		}
		return nil
	}
}

// atLeast refuses a number that says nothing. Error: bad-usage.
func atLeast(flag string, n, least int, help string) error {
	if n < least {
		return usage(fmt.Sprintf("%s %d: it is a number of %d or more", flag, n, least), help)
	}
	return nil
}

// firstRows are the rows that --limit shows; what it leaves out is said.
func firstRows[T any](a *App, rows []T, limit int) []T {
	if len(rows) > limit {
		a.say("%d more, see them with --limit", len(rows)-limit)
		rows = rows[:limit]
	}
	return rows
}

// exact takes n arguments, none of them empty: an unset variable of a shell is no order.
func exact(n int, what string) cobra.PositionalArgs {
	count := between(n, n, what)
	return func(cmd *cobra.Command, args []string) error {
		if slices.Contains(args, "") {
			return usage(fmt.Sprintf("%s takes %s, and one is empty", cmd.CommandPath(), what),
				cmd.CommandPath()+" --help")
		}
		return count(cmd, args)
	}
}

// models refuses a word that names no model, as an unset variable of a shell leaves it. Error: bad-usage.
func models(words []string, help string) error {
	for _, w := range words {
		if !strings.ContainsFunc(w,
			func(r rune) bool { return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) }) {
			return usage(fmt.Sprintf("%q is no model", w), help)
		}
	}
	return nil
}

// span of time as a flag: "90s", "15m", "2h", "7d".
type spanFlag time.Duration

// Set parses it. Errors: text that is no span.
func (s *spanFlag) Set(text string) error {
	ms, err := market.ParseMillis(text)
	if err != nil || ms == 0 || ms > uint64((1<<63-1)/time.Millisecond) {
		return fmt.Errorf("%q is no span of time, write it as in 90s or 15m", text)
	}
	*s = spanFlag(time.Duration(ms) * time.Millisecond)
	return nil
}

// String is empty for none: help then shows no default.
func (s *spanFlag) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type names it in help.
func (s *spanFlag) Type() string { return "span" }
