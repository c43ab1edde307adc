package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

func newWalletCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "wallet", Short: "The spending account: its balance is the cap of all spending",
		Example: "  gpuai wallet new\n  gpuai wallet airdrop 1\n  gpuai wallet withdraw ADDRESS",
	}
	defer alone(cmd, "show")
	cmd.AddCommand(
		a.walletCall("new", "Make the account, or show it if there is one",
			func(cmd *cobra.Command, c *api.Client) (api.Wallet, error) { return c.WalletNew(cmd.Context()) }),
		a.walletCall("show", "What is free, in channels, at risk and returning",
			func(cmd *cobra.Command, c *api.Client) (api.Wallet, error) { return c.Wallet(cmd.Context()) }),
		newAirdrop(a), newWithdraw(a),
	)
	return cmd
}

func (a *App) walletCall(use, about string, f func(*cobra.Command, *api.Client) (api.Wallet, error)) *cobra.Command {
	var keypair string
	cmd := &cobra.Command{Use: use, Short: about, Args: exact(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keypair != "" {
				path, err := filepath.Abs(keypair)
				if err == nil {
					_, err = os.Stat(path)
				}
				if err != nil {
					return usage("--keypair: "+err.Error(), "gpuai wallet new --help")
				}
				if err := a.set(cmd.Context(), map[string]string{"wallet.keypair": path}); err != nil {
					return err
				}
			}
			c, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			w, err := f(cmd, c)
			if err != nil {
				return err
			}
			if use == "new" && w.Available.Lamports() == 0 {
				defer a.say("send SOL (%s) to it from any wallet; its balance is the cap. Back: gpuai wallet withdraw "+
					"ADDRESS", w.Network)
			}
			defer a.tellWaiting(cmd.Context(), c, false)
			return a.print("wallet", w, func(t *Table) { walletTable(t, w) })
		}}
	if use == "new" {
		cmd.Flags().StringVar(&keypair, "keypair", "", "take this file of Solana's tools instead of a new account")
	}
	return cmd
}

func walletTable(t *Table, w api.Wallet) {
	t.Row("address", w.Address)
	t.Row("network", w.Network)
	t.Row("available", w.Available.String())
	t.Row("in channels", w.InChannels.String())
	t.Row("at risk", w.AtRisk.String())
	t.Row("returning", w.Returning.String())
	t.Row("storage deposit", w.Storage.String()+storageBack(w.Storage))
	t.Row("spent so far", fmt.Sprintf("%s for jobs, %s network fees, %s rigs' claim fees", w.Paid, w.Fees, w.ClaimFees))
	if w.Tx != "" {
		t.Row("transaction", w.Tx)
	}
}

// storageBack says when a storage deposit comes back: the program keeps an account for 3,000 slots after the slot that
// names it, which is up to 2,100 before its opening. What is left is 6 minutes at 400 ms; a ledger younger than that
// takes longer.
func storageBack(m api.Money) string {
	if m.Lamports() == 0 {
		return ""
	}
	return ", returns about 6 min after a channel's start, once it is finished"
}

func newAirdrop(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "airdrop [SOL]", Short: "Get test money, on localnet and devnet only",
		Args: between(0, 1, "at most an amount of SOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			amount := market.Amount(market.LamportsSOL)
			if len(args) == 1 {
				v, err := market.ParseSOL(args[0])
				if err != nil || v == 0 {
					return usage(args[0]+" is no amount of SOL", "gpuai wallet airdrop 1")
				}
				amount = v
			}
			c, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			w, err := c.Airdrop(cmd.Context(), amount)
			if err != nil {
				return err
			}
			a.say("received %s", api.SOL(amount))
			return a.print("wallet", w, func(t *Table) { walletTable(t, w) })
		},
	}
}

func newWithdraw(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "withdraw ADDRESS [SOL]", Short: "Send what is free to an address",
		Args: between(1, 2, "an address and, if not all, an amount of SOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := market.ParseAddress(args[0]); err != nil {
				return usage(args[0]+" is no Solana address", "gpuai wallet withdraw --help")
			}
			var amount market.Amount
			what := "all that is free"
			if len(args) == 2 {
				v, err := market.ParseSOL(args[1])
				if err != nil || v == 0 {
					return usage(args[1]+" is no amount of SOL", "gpuai wallet withdraw ADDRESS 0.5")
				}
				amount, what = v, v.SOL()+" SOL"
			}
			c, err := a.running(cmd.Context())
			if err != nil {
				return err
			}
			if err := a.confirm("send " + what + " to " + args[0] + "?"); err != nil {
				return err
			}
			tr, err := c.Withdraw(cmd.Context(),
				api.Withdrawal{Key: rand.Text(), To: args[0], Amount: amount, All: len(args) == 1})
			if err != nil {
				return err
			}
			return a.print("transfer", tr, func(t *Table) {
				t.Row("to", tr.To)
				t.Row("amount", tr.Amount.String())
				if tr.Channels > 0 {
					t.Row("stays", fmt.Sprintf("%s for the fees of %s: without them no deposit comes back", tr.Kept,
						count(tr.Channels, "channel that is still to be closed",
							"channels that are still to be closed")))
				}
				t.Row("transaction", tr.Tx)
			})
		},
	}
}
