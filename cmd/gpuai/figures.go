package main

import (
	"fmt"
	"time"

	"github.com/gpuai/gpuai/node/api"
)

// stated reports that the node's document has this figure.
func stated(m api.Money) bool { return m.Amount != "" }

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// asleep says what closing this computer means for a job: what may be lost, how long the job works on, and what comes then.
func asleep(risk api.Money, runsMS, holdMS int64) string {
	runs := "it is paused at once"
	if runsMS > 0 {
		runs = "the job runs about " + span(ms(runsMS)) + " on, then it is paused"
	}
	hold := "; after the rig's hold, usually 2m, it is ended"
	if holdMS > 0 {
		hold = "; after " + span(ms(holdMS)) + " more it is ended"
	}
	return fmt.Sprintf("%s (%s%s)", risk, runs, hold)
}

// asleepOf is the same of an order that is placed; before its lease nothing is known of it.
func asleepOf(o api.Order) string { return asleep(o.AtRisk, o.AsleepMS, o.HoldMS) }

// fees says what an order cost beside its job; "" where the node does not say.
func fees(o api.Order) string {
	if !stated(o.NetworkFees) {
		return ""
	}
	return fmt.Sprintf("%s network, %s to the rig for its claims", o.NetworkFees, o.ClaimFee)
}

// moneyRows are the rows of what an order costs; they add up to what the wallet has less.
func moneyRows(t *Table, o api.Order) {
	if f := fees(o); f != "" {
		t.Row("fees", f)
		t.Row("cost", o.Cost.String())
		t.Row("storage deposit", o.StorageDeposit.String()+storageBack(o.StorageDeposit))
	}
	if !o.Ended() && stated(o.CapLeft) {
		t.Row("signed ahead", o.SignedAhead.String()+", comes back or becomes due")
		t.Row("cap left", capLeft(o))
	}
}

// capLeft says how long the job runs by its cap and longest time, and that the grace of its stop lies inside.
func capLeft(o api.Order) string {
	return fmt.Sprintf("%s: it runs %s on, then it has %s to end by itself", o.CapLeft, span(ms(o.StopsInMS)), span(ms(o.GraceMS)))
}

// exitText is the job's exit code, "-" while it has none.
func exitText(o api.Order) string {
	if o.ExitCode == nil {
		return "-"
	}
	return fmt.Sprint(*o.ExitCode)
}

// bill is what a person reads at the end.
func (a *App) bill(o api.Order) {
	if o.Channel == "" {
		return
	}
	line := fmt.Sprintf("ran %s, paid %s, returned %s of %s", span(ms(o.BillableMS)), o.Paid, o.Returned, o.Deposit)
	if f := fees(o); f != "" {
		line += fmt.Sprintf("; fees %s; cost %s in all", f, o.Cost)
	}
	a.say("%-9s %s", "bill", line)
	if o.StorageDeposit.Lamports() > 0 {
		a.say("%-9s storage deposit %s%s", "", o.StorageDeposit, storageBack(o.StorageDeposit))
	}
}
