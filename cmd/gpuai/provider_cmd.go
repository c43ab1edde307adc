package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/config"
)

func newProviderCmd(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "provider", Short: "Sell this machine",
		Example: "  gpuai provider setup\n  gpuai provider price rtx-4090 0.0024/h\n  gpuai provider pause"}
	defer alone(cmd, "show")
	sell := func(use, about string, on bool) *cobra.Command {
		return a.providerCall(use, about,
			func(ctx context.Context, c *api.Client) (api.Provider, error) { return c.ProviderSell(ctx, on) },
			providerTable)
	}
	read := func(ctx context.Context, c *api.Client) (api.Provider, error) { return c.Provider(ctx) }
	cmd.AddCommand(
		newSetup(a), a.providerCall("show", "What this rig sells", read, providerTable),
		a.providerCall("devices", "Its devices", read, devicesTable),
		newPrice(a), sell("pause", "Withdraw the rig; running jobs go on", false),
		sell("resume", "List the rig again", true), newLeases(a),
		newEarnings(a), newWhyIdle(a), newKick(a),
	)
	return cmd
}

func (a *App) providerCall(use, about string, f func(context.Context, *api.Client) (api.Provider, error),
	table func(*Table, api.Provider)) *cobra.Command {
	return &cobra.Command{Use: use, Short: about, Args: exact(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			p, err := f(cmd.Context(), c)
			if err != nil {
				return a.hinted(err)
			}
			return a.print("provider", p, func(t *Table) { table(t, p) })
		}}
}

func providerTable(t *Table, p api.Provider) {
	t.Row("sells", sellsWord(p.Selling, p.Why))
	if p.Note != "" {
		t.Row("note", p.Note)
	}
	if p.Since != nil {
		t.Row("since", p.Since.Local().Format(time.DateTime)+", "+ago(p.Since.Time))
	}
	t.Row("payout", p.Payout)
	t.Row("fee payer", p.FeePayer)
	t.Row("devices", fmt.Sprint(len(p.Devices)))
	t.Row("leases", fmt.Sprint(p.Leases))
	t.Row("earned", fmt.Sprintf("%s: %s settled on the ledger, %s claimable", p.Earned, p.Settled, p.Claim))
	t.Row("earning now", p.Now.String())
	if p.Waits != nil {
		t.Row("waits", fmt.Sprintf("%s for the payout account, which lacks %s to be created", p.Waits, p.Missing))
	}
}

func devicesTable(t *Table, p api.Provider) {
	t.Head("DEVICE", "MODEL", "STATE", "RATE", "LEASE")
	for _, d := range p.Devices {
		t.Row(d.ID, d.Class, d.State, d.Rate.String(), or(d.Lease, "-"))
	}
}

func newPrice(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "price [MODEL] RATE", Short: "Set the rate in SOL per device and hour",
		Args:    between(1, 2, "a rate, and before it a model if not all"),
		Example: "  gpuai provider price 0.0024/h\n  gpuai provider price rtx-4090 0.003/h",
		RunE: func(cmd *cobra.Command, args []string) error {
			rate := args[len(args)-1]
			if r, err := market.ParseRateSOL(rate); err != nil || r == 0 {
				return usage(rate+" is no rate", "gpuai provider price 0.0024/h")
			}
			if len(args) == 1 {
				return a.set(cmd.Context(), map[string]string{"provider.rate": rate})
			}
			l, err := a.load()
			if err != nil {
				return err
			}
			pairs := []string{market.Slug(args[0]) + "=" + rate}
			for class, old := range l.Provider.Rates {
				if class != market.Slug(args[0]) {
					pairs = append(pairs, class+"="+old)
				}
			}
			return a.set(cmd.Context(), map[string]string{"provider.rates": strings.Join(pairs, ",")})
		},
	}
}

func newSetup(a *App) *cobra.Command {
	var payout, rate, cores, memory, disk string
	cmd := &cobra.Command{
		Use: "setup", Short: "Say where to be paid and how much; writes the settings", Args: exact(0, "no arguments"),
		Example: "  gpuai provider setup\n  gpuai provider setup --payout ADDRESS --rate 0.0024/h -y",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(a.in)
			if payout == "" || rate == "" {
				a.sayAsked(cmd.Context())
			}
			for _, q := range setupQuestions(&payout, &rate) {
				if err := a.ask(in, q); err != nil {
					return err
				}
			}
			l, err := a.load()
			if err != nil {
				return err
			}
			values := map[string]string{"provider.payout": payout, "provider.rate": rate}
			for key, share := range map[string]string{"provider.cores": cores, "provider.memory": memory,
				"provider.disk": disk} {
				if share != "" {
					values[key] = share
				}
			}
			o, err := a.options()
			if err == nil {
				err = config.Check(o, values) // before a question that they would make pointless
			}
			if err != nil {
				return err
			}
			a.sayShares(o, values)
			a.say("%s", shares(l.Config, cores, memory, disk))
			if err := a.confirm("sell this machine on " + l.Node.Network + " at " + strings.TrimSuffix(rate,
				"/h") + " SOL/h?"); err != nil {
				return err
			}
			roles := strings.Join(l.Node.Roles, ",")
			if !strings.Contains(roles, "provider") {
				roles = strings.TrimPrefix(roles+",provider", ",")
			}
			values["node.roles"] = roles
			if err := a.set(cmd.Context(), values); err != nil {
				return err
			}
			a.say("this machine is to be paid at %s, %s SOL/h for each device", payout, strings.TrimSuffix(rate, "/h"))
			if l.Open() != nil {
				a.say("%s; until then: %s", config.NotOpen, config.OpenOne)
			}
			a.say("next: gpuai doctor, then gpuai node start")
			return nil
		},
	}
	cmd.Flags().StringVar(&payout, "payout", "", "Solana address")
	cmd.Flags().StringVar(&rate, "rate", "", "SOL per device and hour")
	cmd.Flags().StringVar(&cores, "cores", "", "cores lent out; default all but one")
	cmd.Flags().StringVar(&memory, "memory", "", "memory lent out, as in 16GiB; default all but 2 GiB")
	cmd.Flags().StringVar(&disk, "disk", "", "disk lent out, as in 50GiB; default half of the free disk")
	return cmd
}

// shares says what jobs may use: what is given now, else what the settings have.
func shares(c config.Config, cores, memory, disk string) string {
	if cores == "" && c.Provider.Cores > 0 {
		cores = strconv.Itoa(c.Provider.Cores)
	}
	size := func(given string, set config.Size, without string) string {
		if given == "" && set > 0 {
			given = set.String()
		}
		return or(given, without)
	}
	return fmt.Sprintf("jobs may use: %s cores, %s of memory, disk: %s (change it: --cores, --memory, --disk), and "+
		"the %s class of network; never your LAN",
		or(cores, "all but one of the"), size(memory, c.Provider.Memory, "all but 2 GiB"),
		size(disk, c.Provider.Disk, "half of what is free"), c.Provider.Egress)
}

// ask fills a question's value from the terminal until it is fine; a value given by flag must be fine at once.
func (a *App) ask(in *bufio.Reader, q setupQuestion) error {
	for !q.ok(*q.value) {
		if *q.value != "" {
			a.say("%q is none: %s", *q.value, q.want)
		}
		if a.no || !terminal(a.in) {
			return usage(q.text+": missing or wrong, and there is no terminal to ask on; wanted is "+q.want,
				"gpuai provider setup --help")
		}
		fmt.Fprint(a.err, q.text+"  ")
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		if *q.value = strings.TrimSpace(line); *q.value == "" {
			a.say("wanted is %s; Ctrl-C leaves everything as it is", q.want)
		}
	}
	return nil
}
