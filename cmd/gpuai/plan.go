package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/spec"
)

// planRows are the figures of a plan as name and value.
func planRows(t *Table, p api.Plan) {
	t.Row("cap", p.MaxTotal.String()+lasts(p))
	for _, r := range planMoney(p) {
		t.Row(r[0], r[1])
	}
	t.Row("at risk", "while this computer sleeps: "+sleeps(p))
	t.Row("afterwards", afterwards(p))
}

// planLines is the plan of gpuai run.
func (a *App) planLines(p api.Plan, network string) {
	best := p.Candidates[0]
	a.say("plan   %d x %s at %s%s, %s; cap %s%s; %s", p.Request.Job.Devices(), clean(best.Class), short(best.Provider),
		overRelay(best), best.Rate, p.MaxTotal, lasts(p), network)
	if p.Rented {
		a.say("       all that fits is rented now: the order waits for the first one that is free, up to %s",
			or(waitOf(p), "5 minutes"))
	}
	for _, r := range planMoney(p) {
		a.say("       %-15s %s", r[0], r[1])
	}
	a.say("       at risk while this computer sleeps: %s", sleeps(p))
	a.say("       afterwards      %s", afterwards(p))
}

// afterwards is what everybody will be told of the lease.
func afterwards(p api.Plan) string {
	if p.Request.Job.Outcome == spec.OutcomePrivate {
		return "private: neither side tells the market; the channel stays readable on the chain"
	}
	return "public: model, devices, rate, times, amount, how it ended, hash of the outputs, both nodes and accounts; " +
		"nothing of the job (--outcome private: nobody is told)"
}

// overRelay marks a rig that is reached over a relay only, "" for others.
func overRelay(c api.Candidate) string {
	if !c.Relayed {
		return ""
	}
	return fmt.Sprintf(" (relayed, files up to %d MiB)", c.FilesMax>>20)
}

// planMoney is what the order takes from the wallet, part by part: the parts that are not 0 add up to what it needs.
func planMoney(p api.Plan) (rows [][2]string) {
	add := func(name string, m api.Money, about string) {
		if m.Lamports() > 0 {
			rows = append(rows, [2]string{name, m.String() + about})
		}
	}
	if p.Deposit.Lamports() == 0 && p.Quoted {
		rows = append(rows, [2]string{"deposit", "none: an open channel carries it"})
	}
	add("deposit", p.Deposit, " now, what is not spent returns at the end")
	if !stated(p.NetworkFees) { // the ledger does not answer
		return append(rows, [2]string{"fees", "about " + p.Fees.String() + ", most of it for the rig's claims"})
	}
	usual := ""
	if !p.Quoted {
		usual = ", the usual sum: the rig has not said"
	}
	add("network fees", p.NetworkFees, " at most, of all transactions up to the end")
	add("claim fee", p.ClaimFee, " to the rig, for its own transactions"+usual)
	if p.Storage != nil {
		add("storage deposit", *p.Storage, storageBack(*p.Storage)+" (--keep-channel: the next order there needs none)")
	}
	add("under way", p.UnderWay, " of other transactions of this wallet")
	add("minimum", p.Minimum, " must stay in the wallet")
	about := " in the wallet, which holds " + p.Available.String()
	if p.Missing.Lamports() > 0 {
		about += ": " + p.Missing.String() + " are missing"
	}
	add("needed", p.Needed, about)
	return rows
}

// sleeps says what a sleeping computer risks; nothing is signed ahead for a rig before two minutes are paid to it.
func sleeps(p api.Plan) string {
	if p.AtRisk.Lamports() == 0 {
		return "0 SOL: nothing is signed ahead, the job is paused within a tick"
	}
	return asleep(p.AtRisk, or2(p.AsleepMS, p.AwayMS), p.HoldMS) + ", once 2m are paid to this rig"
}

func or2(a, b int64) int64 {
	if a == 0 {
		return b
	}
	return a
}

// lasts says how long the cap pays for, and that the grace of the stop lies inside.
func lasts(p api.Plan) string {
	runs, grace := ms(p.RunsMS), ms(p.GraceMS)
	if runs <= 0 || runs > 365*24*time.Hour {
		return ""
	}
	return fmt.Sprintf(": the job runs %s, then it has %s to end by itself", span(runs), span(grace))
}

// waitOf is how long the order is told to wait for a rig, empty: it is not.
func waitOf(p api.Plan) string {
	if w := p.Request.Job.Limits.Wait; w > 0 {
		return span(w)
	}
	return ""
}

// mayCome reports that an order which no rig fits now is placed all the same, since it waits for one; it says so. err
// is why it cannot be done now.
func (a *App) mayCome(p api.Plan, err error) bool {
	wait := waitOf(p)
	if wait == "" || market.CodeOf(err) != market.CodeNoOfferFits {
		return false
	}
	var why *market.Error
	if errors.As(err, &why) && !a.mute {
		a.say("plan   no rig fits now: %s", why.Detail)
		a.say("       the order waits %s for one; until then nothing is paid and nothing signed", wait)
		if p.Request.Job.Placement.Want != spec.WantPrivate {
			a.say("       the market is told which devices, at which rate (--want private: it is not)")
		}
	}
	return true
}

// refused is why a plan cannot be done.
func (a *App) refused(ctx context.Context, c *api.Client, p api.Plan) error {
	if p.Code == "" || p.Code == market.CodeNoOfferFits {
		return a.noOffer(ctx, c, p)
	}
	return &market.Error{Code: p.Code, Kind: market.KindConflict, Op: "plan order", Detail: p.Detail,
		Hint: p.NearestHint}
}
