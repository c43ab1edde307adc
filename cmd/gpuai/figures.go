package main

import (
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// stated reports that the node's document has this figure.
func stated(m api.Money) bool { return m.Amount != "" }

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// asleep says what closing this computer means for a job: what may be lost, how long the job works on, and what comes
// then.
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
		if capNear(o) {
			t.Row("warning", capWarning(o))
		}
	}
}

// capLeft says how long the job runs by its cap and longest time, and that the grace of its stop lies inside.
func capLeft(o api.Order) string {
	return fmt.Sprintf("%s: it runs %s on, then it has %s to end by itself", o.CapLeft, span(ms(o.StopsInMS)),
		span(ms(o.GraceMS)))
}

// capNear reports that a job has used four fifths of the time that its cap or its longest time gives it before it is
// told to stop.
func capNear(o api.Order) bool {
	return stated(o.CapLeft) && o.ReadyAt != nil && !jobOver(o) && o.State != "stopping" &&
		o.StopsInMS*5 <= o.StopsInMS+o.BillableMS
}

// capWarning says when the job is told to stop, and how that is put off.
func capWarning(o api.Order) string {
	return fmt.Sprintf("%s of %s left: the job is told to stop in %s; raise it: gpuai cap %s %s", o.CapLeft, o.Cap,
		span(ms(o.StopsInMS)), word(o), (2 * o.Cap.Lamports()).SOL())
}

// warnCap warns once for each cap.
func (fl *follower) warnCap(o api.Order) {
	if capNear(o) && fl.warned != o.Cap {
		fl.warned = o.Cap
		fl.line.reset()
		fl.a.say("%-9s %s", "cap", capWarning(o))
	}
}

// sayCaps warns of running orders whose cap is near.
func (a *App) sayCaps(list []api.Order) {
	for _, o := range list {
		if capNear(o) {
			a.say("%s: %s", called(o), capWarning(o))
		}
	}
}

// endedBy is the error of a job that did not end by itself, by a person, or for a fault of its own; nil for others. The
// job's code stays, unless it is 0: the work was cut short all the same.
func endedBy(o api.Order) error {
	switch o.Code {
	case "", market.CodeCompleted, market.CodeJobFailed, market.CodeJobOOM, market.CodeStopped:
		return nil
	}
	e := &market.Error{Code: o.Code, Kind: market.KindConflict, Op: "run job", Detail: o.Detail,
		Hint: "gpuai show " + word(o)}
	if o.Code == market.CodeCapReached {
		e.Detail = fmt.Sprintf("it ran %s and paid %s of at most %s, and was told to stop while the grace to end by "+
			"itself was left", span(ms(o.BillableMS)), o.Paid, o.Cap)
		e.Hint = "raise it: gpuai run --max-total " + (2 * o.Cap.Lamports()).SOL() +
			" …; while a job runs: gpuai cap ID SOL"
	}
	code := *o.ExitCode
	if code == 0 {
		code = exitAttached
	}
	return cut{e, code}
}

// returned says what came back of a deposit. An order's deposit is its channel's, which may carry other orders too:
// then what came back and what this order paid do not add up to it, and what has not come back yet is not lost.
func returned(o api.Order) string {
	switch back, deposit := o.Returned.Lamports(), o.Deposit.Lamports(); {
	case !o.Finished && o.RefundLater:
		return fmt.Sprintf("nothing yet: the rest stays in the channel of %s (back: gpuai channel close %s)", o.Deposit,
			o.Channel)
	case !o.Finished:
		return "nothing yet of " + o.Deposit.String()
	case deposit > 0 && back+o.Paid.Lamports() < deposit:
		return fmt.Sprintf("%s of %s, a deposit that other orders were paid from too", o.Returned, o.Deposit)
	}
	return fmt.Sprintf("%s of %s", o.Returned, o.Deposit)
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
	line := fmt.Sprintf("ran %s, paid %s, returned %s", span(ms(o.BillableMS)), o.Paid, returned(o))
	if f := fees(o); f != "" {
		line += fmt.Sprintf("; fees %s; cost %s in all", f, o.Cost)
	}
	a.say("%-9s %s", "bill", line)
	if o.StorageDeposit.Lamports() > 0 {
		a.say("%-9s storage deposit %s%s", "", o.StorageDeposit, storageBack(o.StorageDeposit))
	}
}
