package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/config"
)

func newConfigCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Settings", Example: "  gpuai config show\n  gpuai config set customer.max_total=0.05"}
	cmd.AddCommand(
		&cobra.Command{Use: "show", Short: "All settings and where each comes from", Args: exact(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
			l, err := a.load()
			if err != nil {
				return err
			}
			keys := map[string]any{}
			for _, k := range config.Keys() {
				keys[k.Name] = map[string]string{"value": k.Text(&l.Config), "origin": l.Origin[k.Name]}
			}
			return a.print("config", map[string]any{"file": l.Path, "settings": keys}, func(t *Table) {
				t.Head("KEY", "VALUE", "FROM")
				for _, k := range config.Keys() {
					t.Row(k.Name, or(k.Text(&l.Config), "-"), l.Origin[k.Name])
				}
			})
		}},
		&cobra.Command{Use: "get KEY", Short: "One setting", Args: exact(1, "a key"), RunE: func(_ *cobra.Command, args []string) error {
			l, err := a.load()
			if err != nil {
				return err
			}
			for _, k := range config.Keys() {
				if k.Name == args[0] {
					_, err := io.WriteString(a.out, k.Text(&l.Config)+"\n")
					return err
				}
			}
			return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "read config", Detail: args[0] + " is no key", Hint: "gpuai config show"}
		}},
		&cobra.Command{Use: "set KEY=VALUE...", Short: "Change settings in the file; a running node takes them at its next start", Args: cobra.MinimumNArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			values := map[string]string{}
			for _, s := range args {
				key, value, ok := strings.Cut(s, "=")
				if !ok {
					return usage(s+" has no =", "gpuai config set customer.max_total=0.05")
				}
				values[key] = value
			}
			return a.set(values)
		}},
		&cobra.Command{Use: "check", Short: "Say what is wrong with the settings", Args: exact(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
			l, err := a.load()
			if err == nil {
				a.say("ok: %s", or(l.Path, "no file, defaults"))
			}
			return err
		}},
		&cobra.Command{Use: "example", Short: "A file with every setting and its default", Args: exact(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.out, config.Example())
			return err
		}},
	)
	return cmd
}

func (a *App) set(values map[string]string) error {
	o, err := a.options()
	if err != nil {
		return err
	}
	path, err := config.Set(o, values)
	if err == nil {
		a.say("written to %s; a running node takes it at its next start", path)
	}
	return err
}
