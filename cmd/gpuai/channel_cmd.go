package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

func newChannelCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "channel", Short: "Deposits: what is locked with which provider",
		Example: "  gpuai channel list\n  gpuai channel close ADDRESS"}
	defer alone(cmd, "list")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "Own channels", Args: exact(0, "no arguments"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, list, err := a.channels(cmd)
				if err != nil {
					return err
				}
				return a.print("channels", map[string]any{"channels": list}, func(t *Table) {
					t.Head("CHANNEL", "PROVIDER", "STATE", "DEPOSIT", "PAID", "RETURNED")
					for _, c := range list {
						t.Row(c.Address, short(c.Provider), c.State, c.Deposit.String(), c.Paid.String(),
							c.Returned.String())
					}
				})
			}},
		&cobra.Command{Use: "show ADDRESS", Short: "One channel", Args: exact(1, "a channel's address"),
			RunE: func(cmd *cobra.Command, args []string) error {
				_, list, err := a.channels(cmd)
				if err != nil {
					return err
				}
				ch, err := pick(list, args[0])
				if err != nil {
					return err
				}
				return a.print("channel", ch, func(t *Table) { channelTable(t, ch) })
			}},
		&cobra.Command{
			Use: "close ADDRESS", Short: "Get the rest of a deposit back: at once if the provider consents, else " +
				"after the close delay", Args: exact(1, "a channel's address"),
			RunE: func(cmd *cobra.Command, args []string) error {
				c, list, err := a.channels(cmd)
				if err != nil {
					return err
				}
				ch, err := pick(list, args[0])
				if err != nil {
					return err
				}
				if err := a.confirm("close channel " + ch.Address + "?"); err != nil {
					return err
				}
				if ch, err = c.CloseChannel(cmd.Context(), ch.Address); err != nil {
					a.tellWaiting(cmd.Context(), c, false)
					return err
				}
				return a.print("channel", ch, func(t *Table) { channelTable(t, ch) })
			},
		},
	)
	return cmd
}

func (a *App) channels(cmd *cobra.Command) (*api.Client, []api.Channel, error) {
	c, err := a.running(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	list, err := c.Channels(cmd.Context())
	return c, list, err
}

// pick finds a channel by its address or a unique beginning of it.
func pick(list []api.Channel, ref string) (api.Channel, error) {
	var hits []api.Channel
	for _, c := range list {
		if strings.HasPrefix(c.Address, ref) {
			hits = append(hits, c)
		}
	}
	if len(hits) != 1 || ref == "" {
		return api.Channel{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find channel",
			Detail: "no one channel begins with " + ref, Hint: "gpuai channel list"}
	}
	return hits[0], nil
}

func channelTable(t *Table, c api.Channel) {
	t.Row("channel", c.Address)
	t.Row("provider", c.Provider)
	t.Row("state", c.State)
	t.Row("deposit", c.Deposit.String())
	t.Row("paid", c.Paid.String())
	t.Row("returned", c.Returned.String())
	if c.Waits != nil {
		t.Row("waits", c.Waits.String()+" for the provider, whose account cannot be created with less than the "+
			"ledger's minimum; the storage deposit waits with it")
	}
	if c.ClosesAt != nil {
		t.Row("closes", c.ClosesAt.Local().Format(time.DateTime))
	}
	if c.Trouble != "" {
		t.Row("trouble", c.Trouble+"; it is tried again")
	}
	if c.Tx != "" {
		t.Row("transaction", c.Tx)
	}
}

// waiting says of channels whose money is not back why it is not; stops: the node is about to stop.
func waiting(list []api.Channel, stops bool) (out []string) {
	for _, c := range list {
		held := c.Deposit.Lamports() - min(c.Paid.Lamports()+c.Returned.Lamports(), c.Deposit.Lamports())
		what := fmt.Sprintf("%s in channel %.8s", api.SOL(held), c.Address)
		why := ""
		switch {
		case c.State == "gone" || c.State == "lost":
		case c.Trouble != "":
			why = what + " wait: " + c.Trouble
		case c.Waits != nil:
			why = fmt.Sprintf("the storage deposit of channel %.8s waits with %s for its provider, whose account "+
				"cannot be created with so little", c.Address, c.Waits)
		case c.State == "closing" && c.ClosesAt != nil:
			why = what + " come back after " + c.ClosesAt.Local().Format(time.DateTime) + ": the provider has not " +
				"released them"
		case stops && held > 0:
			why = what + " stay there"
		}
		if why != "" {
			out = append(out, why)
		}
	}
	return out
}

// tellWaiting names the money that waits, and why. It is beside what the command does: what cannot be read is not told.
func (a *App) tellWaiting(ctx context.Context, c *api.Client, stops bool) {
	list, err := c.Channels(ctx)
	if err != nil {
		return
	}
	words := waiting(list, stops)
	for _, w := range words {
		a.say("%s", w)
	}
	if stops && len(words) > 0 {
		a.say("deposits come back only while a node runs: gpuai channel list")
	}
}
