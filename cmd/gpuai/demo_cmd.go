package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/cmd/gpuai/demo"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/health"
)

const maxScene = 64 << 10

func newDemoCmd(a *App) *cobra.Command {
	var keep bool
	var input string
	cmd := &cobra.Command{
		Use: "demo", Short: "Run a whole market on this machine: one job found, run, paid and refunded, each " +
			"step proved", Args: exact(0, "no arguments"),
		Example: "  make demo\n  gpuai demo --keep --input scene.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find own program: %w", err)
			}
			o := demo.Options{Exe: exe, Env: a.env, Keep: keep, JSON: a.json, Out: a.out}
			if input != "" {
				f, err := os.Open(input)
				if err != nil {
					return usage(err.Error(), "gpuai demo --help")
				}
				defer f.Close()
				if o.Scene, err = io.ReadAll(io.LimitReader(f, maxScene)); err != nil {
					return usage(err.Error(), "gpuai demo --help")
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			found := health.Check(ctx, health.Input{Only: []string{"engine"}})
			o.Weak = slices.ContainsFunc(found, func(f health.Finding) bool { return f.Code == market.CodeRuncOld })
			return demo.Run(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave logs and data")
	cmd.Flags().StringVar(&input, "input", "", "a scene of your own")
	return cmd
}
