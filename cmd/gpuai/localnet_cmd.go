package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/escrow/localnet"
)

func newLocalnetCmd(a *App) *cobra.Command {
	var port, slot int
	var seed string
	cmd := &cobra.Command{
		Use: "localnet", Short: "Run a local Solana ledger with the real escrow program, from a checkout", Args: exact(0, "no arguments"),
		Example: "  gpuai localnet --port 8899\n  gpuai node --network localnet --set solana.rpc=http://127.0.0.1:8899",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			s, err := localnet.Start(ctx, localnet.Options{Port: port, Seed: seed, SlotMS: slot})
			if err != nil {
				return err
			}
			err = a.print("localnet", map[string]string{"rpc": s.RPC, "genesis": s.Genesis, "program": s.Program.String(), "faucet": s.Faucet.String()}, func(t *Table) {
				t.Row("rpc", s.RPC)
				t.Row("genesis", s.Genesis)
				t.Row("program", s.Program.String())
			})
			if err == nil {
				<-ctx.Done()
			}
			if e := s.Close(); err == nil {
				err = e
			}
			return err
		},
	}
	cmd.Flags().IntVar(&port, "port", 0, "RPC port; 0 = any")
	cmd.Flags().IntVar(&slot, "slot-ms", 100, "milliseconds per slot; money is final after 32 slots")
	cmd.Flags().StringVar(&seed, "seed", "", "fixes genesis and faucet")
	return cmd
}
