package main

import (
	"github.com/spf13/cobra"
)

// groups are the commands of gpuai by what they are for, in the order of its help. What no group names is among the
// last.
var groups = []struct {
	id, title string
	names     []string
}{
	{"rent", "Rent:", []string{"offers", "book", "wants", "run", "ps", "show", "logs", "exec", "stop", "cap",
		"outputs", "receipt"}},
	{"money", "Money:", []string{"wallet", "channel"}},
	{"sell", "Sell:", []string{"doctor", "provider"}},
	{"node", "Node and network:", []string{"node", "status", "net", "config", "localnet", "demo"}},
	{"help", "More:", nil},
}

// grouped puts each command of root into its group.
func grouped(root *cobra.Command) {
	of := map[string]string{}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, name := range g.names {
			of[name] = g.id
		}
	}
	for _, c := range root.Commands() {
		if c.GroupID = of[c.Name()]; c.GroupID == "" {
			c.GroupID = "help"
		}
	}
}

// front is gpuai without a command: its help, with --version its version, with --json its commands.
func (a *App) front(root *cobra.Command) {
	var wantsVersion bool
	root.Flags().BoolVarP(&wantsVersion, "version", "v", false, "the version of this program")
	root.Args = groupArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case wantsVersion:
			return a.version()
		case !a.json:
			return cmd.Help()
		}
		type command struct {
			Name  string `json:"name"`
			Short string `json:"short"`
			Group string `json:"group"`
		}
		list := []command{}
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				list = append(list, command{c.Name(), c.Short, c.GroupID})
			}
		}
		return a.print("commands", map[string]any{"commands": list}, nil)
	}
}
