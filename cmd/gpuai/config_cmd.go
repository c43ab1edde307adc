package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

func newConfigCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Settings",
		Example: "  gpuai config show\n  gpuai config set customer.max_total=0.05"}
	defer alone(cmd, "show")
	cmd.AddCommand(
		&cobra.Command{Use: "show", Short: "All settings and where each comes from", Args: exact(0, "no arguments"),
			RunE: func(*cobra.Command, []string) error {
				l, err := a.load()
				if err != nil {
					return err
				}
				doc := api.Settings{Schema: "gpuai.config/v1", File: l.Path, Settings: []api.Setting{},
					Restart: []string{}}
				for _, k := range config.Keys() {
					doc.Settings = append(doc.Settings, setting(k, &l))
				}
				return a.print("config", doc, func(t *Table) {
					t.Head("KEY", "VALUE", "FROM")
					for _, s := range doc.Settings {
						t.Row(s.Key, or(s.Value, "-"), s.From)
					}
				})
			}},
		&cobra.Command{Use: "get KEY", Short: "One setting", Args: exact(1, "a key"),
			RunE: func(_ *cobra.Command, args []string) error {
				l, err := a.load()
				if err != nil {
					return err
				}
				for _, k := range config.Keys() {
					if k.Name == args[0] {
						return a.print("setting", setting(k, &l), func(t *Table) { t.Row(k.Text(&l.Config)) })
					}
				}
				return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "read config",
					Detail: args[0] + " is no key" + config.DidYouMean(args[0]), Hint: "gpuai config show"}
			}},
		&cobra.Command{Use: "set KEY=VALUE...", Short: "Change settings in the file, and in a running node where " +
			"that needs no restart", Args: between(1, 100, "KEY=VALUE, once or more"),
			RunE: func(cmd *cobra.Command, args []string) error {
				values := map[string]string{}
				for _, s := range args {
					key, value, ok := strings.Cut(s, "=")
					if !ok {
						return usage(s+" has no =", "gpuai config set customer.max_total=0.05")
					}
					values[key] = value
				}
				return a.set(cmd.Context(), values)
			}},
		&cobra.Command{Use: "check", Short: "Say what is wrong with the settings", Args: exact(0, "no arguments"),
			RunE: func(*cobra.Command, []string) error {
				l, err := a.load()
				if err != nil {
					return err
				}
				return a.print("check", map[string]any{"ok": true, "file": l.Path},
					func(t *Table) { t.Row("ok", or(l.Path, "no file, defaults")) })
			}},
		&cobra.Command{Use: "example", Short: "A file with every setting and its default",
			Args: exact(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
				_, err := io.WriteString(a.out, config.Example())
				return err
			}},
	)
	return cmd
}

// setting is a key as loaded.
func setting(k config.Key, l *config.Loaded) api.Setting {
	return api.Setting{Key: k.Name, Value: k.Text(&l.Config), From: l.Origin[k.Name], Hot: k.Hot}
}

// set changes settings through the node if one runs and reads the same file, so that what can take effect at once does;
// else in the file only.
func (a *App) set(ctx context.Context, values map[string]string) error {
	o, err := a.options()
	if err != nil {
		return err
	}
	if err := config.Check(o, values); err != nil {
		return err // it says more than the node does, which repeats no value
	}
	path, named := config.Path(o)
	var running api.Settings
	c, err := a.client()
	if err == nil {
		running, err = c.Config(ctx)
	}
	switch {
	case market.CodeOf(err) == market.CodeNodeUnreachable ||
		market.CodeOf(err) == market.CodeNotAllowed: // not there, or not ours
		if path, err = config.Set(o, values); err == nil {
			a.say("written to %s", path)
		}
		return err
	case err != nil:
		return err
	case running.File != path && (running.File != "" || named):
		if path, err = config.Set(o, values); err == nil {
			a.say("written to %s; the running node reads %s", path, or(running.File, "no file"))
		}
		return err
	}
	restart, err := c.PatchConfig(ctx, api.SettingsPatch{Set: values})
	if err != nil {
		return err
	}
	if running, err = c.Config(ctx); err != nil {
		return err
	}
	a.say("written to %s", running.File)
	for _, s := range running.Settings {
		switch _, set := values[s.Key]; {
		case set && s.From != "file":
			a.say("%s: the node was started with another value (%s), which goes before the file", s.Key, s.From)
		case set && slices.Contains(restart, s.Key):
			a.say("%s: restart needed: %s", s.Key, a.restartLine())
		case set:
			a.say("%s: in effect", s.Key)
		}
	}
	return nil
}
