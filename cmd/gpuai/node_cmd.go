package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

func newNodeCmd(a *App) *cobra.Command {
	var network, roles string
	var simulate []string
	var weak bool
	cmd := &cobra.Command{
		Use: "node", Short: "Run a node in the foreground, or start and stop one",
		Args:    exact(0, "start, stop, install, uninstall, or nothing to run in the foreground"),
		Example: "  gpuai node start\n  gpuai node --roles provider,customer\n  gpuai node stop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load()
			if err == nil {
				err = a.mayRun(c)
			}
			if err != nil {
				return err
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(c.Node.Log)); err != nil {
				return usage(err.Error(), "gpuai config check")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o, err := a.options()
			if err != nil {
				return err
			}
			return runNode(ctx, o, c.Config, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})))
		},
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&network, "network", "", "localnet, devnet or mainnet")
	flags.StringVar(&roles, "roles", "", "of "+strings.Join(config.Roles, ", "))
	flags.StringArrayVar(&simulate, "simulate-gpu", nil, "localnet only: pretend to have MODEL:N")
	flags.BoolVar(&weak, "allow-weak-runtime", false, "localnet only: sell on an engine below the safe versions")
	cmd.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for flag, set := range map[string]string{
			"network": "node.network=" + network, "roles": "node.roles=" + roles,
			"simulate-gpu":       "provider.simulate_gpu=" + strings.Join(simulate, ","),
			"allow-weak-runtime": "provider.allow_weak_runtime=true",
		} {
			if cmd.Flags().Changed(flag) {
				a.sets = append(a.sets, set)
			}
		}
		return nil
	}
	cmd.AddCommand(newNodeStart(a), newNodeStop(a), newNodeInstall(a), newNodeUninstall(a))
	return cmd
}

func newStatusCmd(a *App) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "What the node is and does", Args: exact(0, "no arguments"),
		Example: "  gpuai status --watch",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			for {
				s, err := c.Status(cmd.Context())
				if err != nil {
					return a.hinted(err)
				}
				if err := a.print("status", s, func(t *Table) { statusTable(t, s) }); err != nil || !watch {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				case <-time.After(2 * time.Second):
				}
				fmt.Fprintln(a.out)
			}
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print it every 2 s")
	return cmd
}

func statusTable(t *Table, s api.Status) {
	t.Row("node", s.PeerID)
	t.Row("version", s.Version)
	t.Row("network", s.Network)
	if s.Notice != "" {
		t.Row("note", s.Notice)
	}
	t.Row("roles", or(strings.Join(s.Roles, ", "), "none: helps others find each other"))
	if s.Sells != nil {
		t.Row("sells", sellsWord(*s.Sells, s.SellsWhy))
	}
	if s.Index != "" {
		t.Row("index", s.Index)
	}
	t.Row("peers", fmt.Sprint(s.Peers))
	t.Row("offers", fmt.Sprint(s.Offers))
	t.Row("orders", fmt.Sprint(s.Orders))
	t.Row("leases", fmt.Sprint(s.Leases))
	if s.SpoolBytes > 0 {
		waits := ""
		if s.SpoolWaiting > 0 {
			waits = ", outputs of " + count(s.SpoolWaiting, "order", "orders") + " not fetched"
		}
		t.Row("spool", megabytes(s.SpoolBytes)+waits)
	}
	if s.Wallet != "" {
		t.Row("wallet", s.Wallet)
	}
	for _, addr := range s.Addresses {
		t.Row("address", addr)
	}
	t.Row("up", span(time.Since(s.StartedAt.Time)))
}
