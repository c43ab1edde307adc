package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gpuai/gpuai/node/api"
)

// mostListed is how many orders a list asks for that may be long.
const mostListed = 200

func newPsCmd(a *App) *cobra.Command {
	var all bool
	var labels []string
	limit := mostListed
	cmd := &cobra.Command{
		Use: "ps", Short: "Orders", Args: exact(0, "no arguments"),
		Example: "  gpuai ps -a\n  gpuai ps --label project=demo",
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, l := range labels {
				if !strings.Contains(l, "=") {
					return usage("--label "+l+" has no =", "write --label NAME=VALUE")
				}
			}
			if err := atLeast("--limit", limit, 0, "gpuai ps --help"); err != nil {
				return err
			}
			c, err := a.reached(cmd.Context())
			if err != nil {
				return err
			}
			q := api.OrderQuery{All: all, Labels: labels, Newest: limit}
			if !all || limit > mostListed {
				q.Newest = 0
			}
			list, err := c.Orders(cmd.Context(), q)
			if err != nil {
				return err
			}
			if limit > 0 && all && len(list) >= limit {
				list = list[len(list)-limit:]
				a.say("the newest %d orders; all of them: gpuai ps -a --limit 0", limit)
			}
			if len(list) == 0 && len(labels) > 0 {
				a.say("no order has %s", strings.Join(labels, " and "))
			} else {
				a.sayOrders(list, all)
			}
			a.sayCaps(list)
			return a.print("orders", map[string]any{"orders": list}, func(t *Table) {
				t.Head("ORDER", "NAME", "STATE", "RATE", "PAID", "CREATED", "EXIT")
				for _, o := range list {
					t.Row(o.ID, or(o.Name, "-"), state(o), rateText(o), o.Paid.String(), ago(o.CreatedAt.Time),
						exitText(o))
				}
			})
		},
	}
	cmd.Flags().StringArrayVar(&labels, "label", nil, "only with this NAME=VALUE; repeat for all of several")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also orders that are over")
	cmd.Flags().IntVar(&limit, "limit", limit, "with --all, so many of the newest; 0: all of them")
	return cmd
}

func newShowCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "One order: rate, paid, at risk, next step",
		Args: exact(1, "an order, a lease, a name, or - for the last"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o, err := c.Order(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.print("order", o, func(t *Table) { orderTable(t, o) })
		},
	}
}

func orderTable(t *Table, o api.Order) {
	t.Row("order", o.ID)
	for _, r := range [][2]string{
		{"name", o.Name}, {"labels", labelText(o.Labels)}, {"state", state(o)}, {"why", o.Detail},
		{"waits for", o.Waits}, {"waits until", waitsUntil(o)}, {"image", o.Image},
		{"provider", o.Provider},
		{"lease", o.LeaseID},
		{"channel", o.Channel}, {"outputs", o.OutputsRoot}, {"settled by", o.FinishTx},
	} {
		if r[1] != "" {
			t.Row(r[0], r[1])
		}
	}
	if o.LeaseID != "" {
		t.Row("rate", o.Rate.String()+plural(o.Devices, "", fmt.Sprintf(" for each of %d", o.Devices)))
		t.Row("ran", span(time.Duration(o.BillableMS)*time.Millisecond))
		t.Row("paid", fmt.Sprintf("%s of at most %s", o.Paid, o.Cap))
		t.Row("deposit", o.Deposit.String())
	}
	for i, x := range o.Attempts {
		t.Row(fmt.Sprintf("attempt %d", i+1), fmt.Sprintf("%s (%s) at %s, %s", x.Code, x.Fault, x.Provider, x.Cost))
	}
	if settled(o) && o.Channel != "" {
		t.Row("returned", returned(o))
	}
	moneyRows(t, o)
	if !jobOver(o) && o.LeaseID != "" {
		t.Row("at risk", "while this computer sleeps: "+asleepOf(o))
	}
	if o.HeardAt != nil && o.State == "silent" {
		t.Row("not heard since", o.HeardAt.Local().Format(time.DateTime))
	}
	if o.RefundDue != nil && !o.Finished {
		t.Row("refund after", o.RefundDue.Local().Format(time.DateTime))
	}
	if o.ExitCode != nil {
		t.Row("exit code", fmt.Sprint(*o.ExitCode))
	}
	if o.Logs != nil {
		t.Row("log", strings.TrimSuffix(fmt.Sprintf("%d bytes, %s", o.Logs.Bytes-o.Logs.Missing, lacks(*o.Logs)), ", "))
	}
	filesTable(t, o)
	t.Row("next", next(o))
	for _, s := range o.Steps {
		t.Row(s.At.Local().Format("15:04:05"), strings.TrimSpace(s.Phase+"  "+s.Detail))
	}
}

// rateText is the rate of an order that has one: none has it before a rig has quoted.
func rateText(o api.Order) string {
	if o.Rate.Lamports() == 0 && o.LeaseID == "" {
		return "-"
	}
	return o.Rate.String()
}

// labelText is "project=demo team=vision", in the order of the names.
func labelText(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, " ")
}

// settled: the order is over and its money is home, or stays in a channel that goes on.
func settled(o api.Order) bool { return o.Ended() && (o.Finished || o.RefundLater || o.Channel == "") }

func newStopCmd(a *App) *cobra.Command {
	var now, wait bool
	cmd := &cobra.Command{
		Use: "stop ID", Short: "End a job", Args: exact(1, "an order, a lease, a name, or - for the last"),
		Example: "  gpuai stop -",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o, err := c.Order(cmd.Context(), id)
			if err != nil {
				return err
			}
			if o.Ended() && settled(o) {
				a.say("%s is over already", called(o))
				a.bill(o)
				return a.document("order", o)
			}
			if err := c.StopOrder(cmd.Context(), o.ID, now); err != nil {
				return err
			}
			if !wait {
				a.say("%s: gpuai show %s", stopping(o), word(o))
				return nil
			}
			line, ledger := progress{a: a}, ledgerWatch{a: a, c: c}
			beats, stop := pulse(cmd.Context(), c)
			defer stop()
			for {
				if o, err = c.Order(cmd.Context(), o.ID); err != nil {
					return err
				}
				if settled(o) {
					a.bill(o)
					return a.document("order", o)
				}
				ledger.look(cmd.Context(), o)
				line.show(api.Progress{Phase: or(map[bool]string{true: "refund"}[jobOver(o)], "stopping")})
				select {
				case <-cmd.Context().Done():
					return cmd.Context().Err()
				case <-beats:
				}
			}
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return once what is not spent is back")
	cmd.Flags().BoolVar(&now, "now", false, "kill it, without the time to end by itself")
	return cmd
}

// stopping says what a stop does and when the money is back; o is the order as it was before.
func stopping(o api.Order) string {
	if o.HeardAt == nil || o.State != "silent" {
		return "stopping; what is not spent returns"
	}
	return fmt.Sprintf("its provider is not heard since %s: the deposit is asked back without it, and what is not "+
		"spent is back one close delay later (an hour, unless it asked for more)",
		o.HeardAt.Local().Format(time.TimeOnly))
}

func newReceiptCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "receipt ID", Short: "What ran and what was paid, with the signed documents",
		Args: exact(1, "an order, a lease, a name, or - for the last"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, id, err := a.orderOf(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			r, err := c.Receipt(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.print("receipt", r, func(t *Table) { receiptTable(t, r) })
		},
	}
}

func receiptTable(t *Table, r api.Receipt) {
	o := r.Order
	t.Row("order", o.ID)
	t.Row("lease", o.LeaseID)
	t.Row("provider", o.Provider)
	t.Row("ran", span(time.Duration(o.BillableMS)*time.Millisecond))
	t.Row("rate", rateText(o))
	t.Row("paid", o.Paid.String())
	t.Row("returned", returned(o))
	moneyRows(t, o)
	by := "not yet"
	if o.Finished {
		by = "the other side's transaction"
	}
	t.Row("settled by", or(o.FinishTx, by))
	t.Row("outputs", or(o.OutputsRoot, "none"))
	signed := "only one side has signed the outcome"
	switch {
	case o.OutcomeSignedByBoth:
		signed = "both sides have signed the outcome"
	case !jobOver(o):
		signed = "nothing yet: the job is not over"
	}
	t.Row("signed", signed)
}

// document prints a document for programs only; people were told.
func (a *App) document(schema string, doc any) error {
	if !a.json {
		return nil
	}
	return a.print(schema, doc, nil)
}
