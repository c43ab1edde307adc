package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

func newNodeStart(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Start a node in the background", Args: exact(0, "no arguments"),
		Example: "  gpuai node start\n  gpuai node start --roles customer,provider",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if s, err := c.Status(cmd.Context()); market.CodeOf(err) != market.CodeNodeUnreachable {
				if err == nil {
					a.say("a node runs already: %s on %s", s.PeerID, s.Network)
					a.sayStanding(s)
					a.ignored(cmd.Context(), c)
				}
				return err
			}
			if _, err := a.start(cmd.Context()); err != nil {
				return err
			}
			s, err := a.settledStatus(cmd.Context(), c)
			if err == nil {
				a.say("node %s on %s runs in the background", s.PeerID, s.Network)
				a.sayStanding(s)
			}
			return err
		},
	}
}

// checkWait bounds how long a start waits for the first check of the rig's engine.
const checkWait = 8 * time.Second

// settledStatus is the node's status once it knows whether it sells, or what it is after a while.
func (a *App) settledStatus(ctx context.Context, c *api.Client) (s api.Status, err error) {
	for end := time.Now().Add(checkWait); ; {
		s, err = c.Status(ctx)
		if err != nil || s.Sells == nil || *s.Sells || !strings.HasPrefix(s.SellsWhy, "starting") ||
			time.Now().After(end) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, nil // it runs
		case <-time.After(startPoll):
		}
	}
}

// sayStanding tells whether a rig sells, and what its owner should know: a node that runs and sells nothing is no good
// start.
func (a *App) sayStanding(s api.Status) {
	switch {
	case s.Sells == nil:
	case *s.Sells:
		a.say("sells  yes (gpuai provider show)")
	case s.SellsWhy == "paused":
		a.say("sells  nothing: paused (gpuai provider resume)")
	default:
		a.say("sells  nothing: %s (gpuai doctor)", clean(s.SellsWhy))
	}
	if s.Notice != "" {
		a.say("note   %s", clean(s.Notice))
	}
}

// sellsWord is whether a rig sells, as one line.
func sellsWord(sells bool, why string) string {
	if sells {
		return "yes"
	}
	return "no: " + or(why, "paused")
}

// ignored says which settings of this call a running node does not have: they are read when it starts.
func (a *App) ignored(ctx context.Context, c *api.Client) {
	o, err := a.options()
	if err != nil || len(o.Flags) == 0 {
		return
	}
	wanted, err := config.Load(o)
	if err != nil {
		return // told by who loaded them first
	}
	has, err := c.Config(ctx)
	if err != nil {
		return
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(o.Flags)) {
		for _, s := range has.Settings {
			if want := textOf(key, &wanted); s.Key == key && s.Value != want {
				differ = append(differ, fmt.Sprintf("%s=%s (it has %s)", key, want, or(s.Value, "nothing")))
			}
		}
	}
	if len(differ) > 0 {
		how := "gpuai node stop, then this again"
		if a.which {
			how = "a service's flags stand in its unit: systemctl edit gpuai"
		}
		a.say("ignored, a restart is needed (%s): %s", how, strings.Join(differ, ", "))
	}
}

// textOf is a setting's value as text.
func textOf(key string, l *config.Loaded) string {
	for _, k := range config.Keys() {
		if k.Name == key {
			return k.Text(&l.Config)
		}
	}
	return ""
}

func newNodeStop(a *App) *cobra.Command {
	var end bool
	cmd := &cobra.Command{
		Use: "stop", Short: "Stop the node; jobs run on, as long as they are paid for", Args: exact(0, "no arguments"),
		Example: "  gpuai node stop\n  gpuai node stop --end-leases",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := a.mayStop(cmd.Context(), c, end); err != nil {
				return err
			}
			if err := c.Shutdown(cmd.Context(), end); err != nil {
				return err
			}
			for range 300 { // the answer comes before the end
				if _, err := c.Status(cmd.Context()); market.CodeOf(err) == market.CodeNodeUnreachable {
					a.say("node stopped")
					return nil
				}
				select {
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				case <-time.After(startPoll):
				}
			}
			return &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: "stop node",
				Detail: "it still answers after 30 s", Hint: "gpuai status"}
		},
	}
	cmd.Flags().BoolVar(&end, "end-leases", false, "end the node's leases first")
	return cmd
}

// mayStop says what a stop leaves running and what becomes of it. It asks where somebody can answer; to end leases it
// always asks.
func (a *App) mayStop(ctx context.Context, c *api.Client, end bool) error {
	if _, err := c.Status(ctx); market.CodeOf(err) == market.CodeNodeUnreachable {
		return &market.Error{Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "stop node",
			Detail: "no node runs here, so there is nothing to stop", Err: err, Hint: "gpuai node start"}
	}
	if end {
		return a.confirm("end all leases of this node?")
	}
	orders, err := c.Orders(ctx, api.OrderQuery{})
	if err != nil && market.CodeOf(err) != market.CodeRoleOff {
		return err
	}
	leases, _, err := c.ProviderLeases(ctx, api.LeaseQuery{Live: true})
	if err != nil && market.CodeOf(err) != market.CodeRoleOff {
		return err
	}
	a.tellWaiting(ctx, c, true)
	words := leftBehind(orders, leases)
	if len(words) == 0 {
		return nil
	}
	for _, w := range words {
		a.say("%s", w)
	}
	a.say("end them first, and get the rest back: gpuai node stop --end-leases")
	if a.yes || a.no || !terminal(a.in) {
		return nil
	}
	return a.confirm("stop the node all the same?")
}

// leftBehind is what goes on without the node, as lines.
func leftBehind(orders []api.Order, leases []api.Lease) (out []string) {
	for _, o := range orders {
		if o.Ended() {
			continue
		}
		if o.LeaseID == "" {
			out = append(out, called(o)+" is not placed yet: it goes on when a node runs again")
			continue
		}
		out = append(out, fmt.Sprintf("%s is %s and goes on without the node; paid ahead is %s", called(o), state(o),
			asleep(o.AtRisk, paidAhead(o).Milliseconds(), o.HoldMS)))
	}
	live := 0
	for _, l := range leases {
		if slices.Contains([]string{"preparing", "running", "paused", "stopping"}, l.State) {
			live++
		}
	}
	if live > 0 {
		out = append(out, fmt.Sprintf(
			"%s on this rig %s on: what runs while no node runs is not billed beyond one tick",
			count(live, "customer's job", "customers' jobs"), plural(live, "goes", "go")))
	}
	return out
}

// paidAhead is how long a job works on for what is signed ahead: as the node says, else by the rate.
func paidAhead(o api.Order) time.Duration {
	perHour := float64(o.Rate.Lamports()) * float64(max(o.Devices, 1))
	if o.AsleepMS > 0 || perHour == 0 {
		return ms(o.AsleepMS)
	}
	return time.Duration(float64(o.AtRisk.Lamports()) / perHour * float64(time.Hour)).Truncate(time.Second)
}
