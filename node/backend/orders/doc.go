package orders

import (
	"cmp"
	"encoding/hex"
	"path"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/joblog"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Doc is the document of an order.
func (d *Desk) Doc(v customer.View) api.Order {
	o := api.Order{
		Schema: "gpuai.order/v1", ID: v.ID.String(), Name: v.Request.File.Name, Labels: v.Request.File.Labels,
		Standing: v.Standing, Code: v.Code, Detail: v.Detail, Hint: v.Hint, Image: v.Request.Image.Ref,
		Devices: v.Request.File.Devices(), OrderMoney: moneyOf(v), OrderRun: runOf(v), OrderClose: closeOf(v),
		OrderFiles: filesOf(v),
	}
	if v.Code == market.CodeFundsShort {
		o.Hint = cmp.Or(d.Hint(0), o.Hint)
	}
	if v.Provider != (market.NodeID{}) {
		o.Provider = v.Provider.String()
	}
	if v.Log != nil && (v.Log.Total > 0 || v.Log.Over && o.ReadyAt != nil) {
		s := LogState(*v.Log)
		o.Logs = &s
	}
	if m := v.Lease; m != nil {
		o.LeaseID, o.State, o.Cause = m.ID.String(), m.State.String(), m.Cause
		if m.Fault != 0 {
			o.Fault = m.Fault.String()
		}
		if why, hint := v.Silence(); why != "" && !o.Ended() {
			o.Detail, o.Hint = why, hint
		}
	}
	return o
}

// moneyOf is what an order costs; without a rate while no rig has said one.
func moneyOf(v customer.View) api.OrderMoney {
	o := api.OrderMoney{
		Cap: api.SOL(v.Request.File.Limits.MaxTotal), Owed: api.SOL(0), Paid: api.SOL(v.Cost()),
		SignedAhead: api.SOL(Ahead(v)), AtRisk: api.SOL(Risk(v)), NetworkFees: api.SOL(v.Costs.Network),
		ClaimFee: api.SOL(v.Costs.ClaimFee), Cost: api.SOL(v.Cost() + v.Costs.Network + v.Costs.ClaimFee),
		StorageDeposit: api.SOL(v.Costs.Storage),
	}
	m := v.Lease
	if v.Rate > 0 || m != nil {
		o.Rate = api.RateSOL(v.Rate)
	}
	if m == nil {
		return o
	}
	o.Owed = api.SOL(m.Claim)
	if m.State.Live() || m.State == market.Silent {
		left, money := m.Left()
		_, grace := market.CapTime(m.Terms.Rate, m.Terms.Devices, m.Limit(), m.Terms.MaxDuration, m.Terms.StopGrace)
		_, runs := m.Asleep()
		o.AsleepMS, o.HoldMS = runs.Milliseconds(), m.Terms.Hold.Milliseconds()
		o.StopsInMS, o.CapLeft, o.GraceMS = left.Milliseconds(), api.SOL(money), grace.Milliseconds()
	}
	return o
}

// runOf is how far an order and its job are.
func runOf(v customer.View) api.OrderRun {
	o := api.OrderRun{
		CreatedAt: rest.At(v.Created), ReadyAt: timeOf(v.ReadyAt), Steps: []api.Step{},
		Progress: api.Progress{Phase: v.Phase, Done: v.Done, Total: v.Total},
	}
	if v.Channel != (market.ChannelID{}) {
		o.Channel = v.Channel.String()
	}
	if v.Standing == customer.StandingSearching {
		o.Waits, o.WaitsUntil = v.Waits, timeOf(v.WaitsUntil)
	}
	for _, s := range v.Steps {
		o.Steps = append(o.Steps, api.Step{At: rest.At(s.At), Phase: s.Phase, Detail: s.Detail})
	}
	if m := v.Lease; m != nil {
		o.OwnMS, o.BillableMS, o.ReceiptSeq = int64(m.Meter.BillableMS), int64(m.ClaimMS), m.ReceiptSeq
		o.ExitCode = exitOf(m)
		if !Over(v) {
			o.HeardAt = timeOf(m.HeardAt)
		}
	}
	return o
}

// closeOf is how an order comes to its end.
func closeOf(v customer.View) api.OrderClose {
	o := api.OrderClose{
		Deposit: api.SOL(v.Deposit), Returned: api.SOL(v.Returned), FinishTx: v.FinishSig, Finished: v.Finished,
		RefundLater: v.RefundLater, OutputsReady: v.OutputsReady, OutcomeSignedByBoth: v.BothSigned,
		RefundDue: timeOf(v.RefundDue), Attempts: attemptsOf(v),
	}
	if v.PayeeWaits > 0 {
		w := api.SOL(v.PayeeWaits)
		o.PayeeWaits = &w
	}
	if v.OutputsRoot != ([32]byte{}) {
		o.OutputsRoot = hex.EncodeToString(v.OutputsRoot[:])
	}
	return o
}

// attemptsOf are the leases of an order that was placed more than once, oldest first; none for any other.
func attemptsOf(v customer.View) (out []api.Attempt) {
	for _, a := range v.Attempts {
		cost := a.Owed
		if a.Home {
			cost = a.Paid
		}
		out = append(out, api.Attempt{
			Provider: a.Provider.String(), Lease: a.Lease.String(), Channel: a.Channel.String(),
			Rate: api.RateSOL(a.Rate), Code: a.Code, Detail: a.Detail, Fault: a.Fault.String(),
			Began: rest.At(a.Began), Ended: rest.At(a.Ended), Cost: api.SOL(cost), Returned: api.SOL(a.Returned),
			Finished: a.Home,
		})
	}
	return out
}

// Ahead is what is signed beyond it. Until the channel is finished its provider could take it, also after the lease.
func Ahead(v customer.View) market.Amount {
	if v.Finished || v.Lease == nil {
		return 0
	}
	return v.Lease.Ahead()
}

// Risk is the most that the order may lose while this computer sleeps from now on.
func Risk(v customer.View) market.Amount {
	if v.Lease == nil || v.Finished {
		return 0
	}
	risk, _ := v.Lease.Asleep()
	return max(risk, v.Lease.Ahead())
}

// exitOf is the job's exit code as the provider told it; nil while the job has not ended by itself and no code was
// told.
func exitOf(m *market.Lease) *int {
	exit := int(m.Exit)
	if m.State.Live() || exit == 0 && m.Code != market.CodeCompleted {
		return nil
	}
	return &exit
}

// Over reports whether an order has come to its end.
func Over(v customer.View) bool {
	return v.Standing == customer.StandingEnded || v.Standing == customer.StandingFailed
}

// LogState is how the kept copy of a log stands.
func LogState(s joblog.State) api.LogState {
	return api.LogState{Bytes: s.Total, Missing: s.Missing, Over: s.Over, Complete: s.Complete(), Why: s.Why}
}

// filesOf is what became of an order's files.
func filesOf(v customer.View) (f api.OrderFiles) {
	for _, o := range v.Request.File.Outputs {
		out := api.Output{Path: o.Path, To: o.To, When: o.When}
		if v.Files.Stays(o) {
			out.LeftOut = v.Files.StayWhy
		}
		f.Outputs = append(f.Outputs, out)
	}
	f.MissingOutputs, f.OutputsCode, f.OutputsDetail = v.Files.Missing, v.Files.Failure, v.Files.FailureDetail
	for _, side := range []struct {
		direction string
		left      customer.LeftOut
	}{{"input", v.Files.Inputs}, {"output", v.Files.Outputs}} {
		for _, s := range side.left.Skipped {
			f.LeftOut = append(f.LeftOut,
				api.LeftOut{Direction: side.direction, Path: path.Join(spec.Workspace, s.Path), Reason: s.Why})
		}
		f.LeftOutMore += side.left.More
	}
	f.OutputsFetchedAt, f.OutputsDroppedAt = timeOf(v.Files.Fetched), timeOf(v.Files.Dropped)
	return f
}

func timeOf(t time.Time) *rest.Time {
	if t.IsZero() {
		return nil
	}
	at := rest.At(t)
	return &at
}
