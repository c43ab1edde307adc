package market

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// purchaseStep is one Apply in progress.
type purchaseStep struct {
	Purchase
	now time.Time
}

// purchaseRule is one line of the table: the stages in which the event is legal, and what it does.
type purchaseRule struct {
	in []Stage
	do func(*purchaseStep, PurchaseEvent) error
}

var (
	anyStage   = []Stage{1, 2, 3, 4, 5, 6, 7, 8}
	beforeEnds = []Stage{1, 2, 3, 4, 5, 6}
	placing    = []Stage{StageFunding, StageProposing}
)

// purchaseTable: which event is legal where.
var purchaseTable = [numPurchaseKinds]purchaseRule{
	kInputsHere:   {[]Stage{StageInputs}, (*purchaseStep).inputsHere},
	kQuoteChosen:  {[]Stage{StageQuoting}, (*purchaseStep).quoteChosen},
	kNoQuote:      {[]Stage{StageQuoting}, (*purchaseStep).noQuote},
	kBookMoved:    {[]Stage{StageSearching}, (*purchaseStep).bookMoved},
	kChannelReady: {[]Stage{StageFunding}, (*purchaseStep).channelReady},
	kNoChannel:    {placing, (*purchaseStep).noChannel},
	kLeaseSigned:  {[]Stage{StageProposing}, (*purchaseStep).leaseSigned},
	kLeaseOver:    {[]Stage{StageLeased}, (*purchaseStep).leaseOver},
	kLeaseGone:    {[]Stage{StageRefunding, StageOver}, (*purchaseStep).leaseGone},
	kOrderStopped: {anyStage, (*purchaseStep).orderStopped},
	kStopTold:     {[]Stage{StageLeased, StageRefunding, StageOver}, (*purchaseStep).stopTold},
	kBudgetRaised: {[]Stage{StageLeased, StageRefunding, StageOver}, (*purchaseStep).budgetRaised},
	kOrderFailed:  {beforeEnds, (*purchaseStep).orderFailed},
	kOrderTick:    {anyStage, (*purchaseStep).orderTick},
	kSettled:      {anyStage, (*purchaseStep).settled},
	kRefundWaits:  {[]Stage{StageRefunding}, (*purchaseStep).refundWaits},
	kNodeStarted:  {anyStage, (*purchaseStep).nodeStarted},
}

func (s *purchaseStep) to(st Stage) { s.Stage, s.Since = st, s.now }

// round enters Quoting: providers are asked.
func (s *purchaseStep) round() {
	s.Round++
	s.to(StageQuoting)
	s.Again = time.Time{}
}

// search begins a search. fresh: the wait for rented rigs begins anew as well.
func (s *purchaseStep) search(fresh bool) {
	s.Begun, s.Waits = s.now, ""
	if fresh {
		s.Until = s.now.Add(purchasePatience)
	}
	s.round()
}

// Inputs → Quoting.
func (s *purchaseStep) inputsHere(PurchaseEvent) error {
	s.search(true)
	return nil
}

// newest refuses what an earlier look has brought.
func (s *purchaseStep) newest(round uint32) error {
	if round != s.Round {
		return ErrIllegal
	}
	return nil
}

// Quoting → Funding.
func (s *purchaseStep) quoteChosen(ev PurchaseEvent) error {
	e := ev.(QuoteChosen)
	s.Provider, s.Rate, s.Prefer, s.Waits = e.Provider, e.Rate, false, ""
	s.to(StageFunding)
	return s.newest(e.Round)
}

// Quoting → Searching, or the end.
func (s *purchaseStep) noQuote(ev PurchaseEvent) error {
	e := ev.(NoQuote)
	s.Prefer = false
	until := s.Begun.Add(e.Patience)
	if e.Rented || s.Until.Before(until) {
		until = s.Until
	}
	patient := e.Patience > 0
	if w := s.WaitsUntil(); e.Scarce && !w.IsZero() && (len(s.Lost) == 0 || s.now.Before(w)) { // as its user said
		until, patient = w, true
		if !s.now.Before(w) {
			e.Why.Code = CodeNoRigCame
			e.Why.Detail = fmt.Sprintf("waited %s for a rig: %s", shortly(s.Terms.Wait), e.Why.Detail)
		}
	}
	if !patient || !s.now.Before(until) {
		s.fail(e.Why)
		return s.newest(e.Round)
	}
	s.Waits = e.Waits
	s.Again = s.now.Add(min(max(e.Again, time.Second), until.Sub(s.now)))
	s.to(StageSearching)
	return s.newest(e.Round)
}

// shortly is a time without its zero parts, as its user wrote it.
func shortly(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// lastSearch is until when another search may begin for the same attempt.
func (s *purchaseStep) lastSearch() time.Time {
	if w := s.WaitsUntil(); w.After(s.Until) {
		return w
	}
	return s.Until
}

// Searching → Quoting.
func (s *purchaseStep) bookMoved(ev PurchaseEvent) error {
	err := s.newest(ev.(BookMoved).Round)
	s.round()
	return err
}

// Funding → Proposing; the end if it was stopped meanwhile.
func (s *purchaseStep) channelReady(ev PurchaseEvent) error {
	e := ev.(ChannelReady)
	s.Channel, s.Deposit = e.Channel, e.Deposit
	s.Home, s.Paid, s.Returned, s.Tx = false, 0, 0, ""
	if s.Stopping() {
		s.fail(s.stopReason())
		return s.newest(e.Round)
	}
	s.to(StageProposing)
	return s.newest(e.Round)
}

// Funding, Proposing → Quoting, or the end.
func (s *purchaseStep) noChannel(ev PurchaseEvent) error {
	e := ev.(NoChannel)
	err := s.newest(e.Round)
	unfit := e.Unfit && s.Unfit < maxUnfit
	switch {
	case s.Stopping():
		s.fail(s.stopReason())
	case !s.now.Before(s.lastSearch()) || !e.Passes && !unfit:
		s.fail(e.Why)
	default:
		if e.Unfit {
			s.Unfit++
		}
		s.search(false)
	}
	return err
}

// Proposing → Leased.
func (s *purchaseStep) leaseSigned(ev PurchaseEvent) error {
	e := ev.(LeaseSigned)
	s.Lease, s.Began, s.Used, s.Resumed = e.Lease, s.now, s.now, false
	s.Told = 0
	s.to(StageLeased)
	return s.newest(e.Round)
}

// Leased → Refunding; → Quoting after a lease that never began, and after a provider's loss while attempts are left.
func (s *purchaseStep) leaseOver(ev PurchaseEvent) error {
	e := ev.(LeaseOver)
	if e.Lease != s.Lease {
		return ErrIllegal
	}
	never := e.State == Refused || e.State == Lapsed
	unfit := e.Unfit && s.Unfit < maxUnfit
	switch {
	case never && !s.Stopping() && (e.Passes && s.now.Before(s.lastSearch()) || unfit):
		if e.Unfit {
			s.Unfit++
		}
		s.Lease = LeaseID{}
		s.search(false)
		return nil
	case !never && s.retries(e):
		s.lose(e)
		return nil
	}
	s.Failed = never
	s.Lingers = e.State == Closing
	s.End = Reason{Code: cmp.Or(e.Code, s.StopCode, CodeInternal), Detail: e.Detail, Hint: e.Hint}
	s.to(StageRefunding)
	switch {
	case s.Home:
		s.to(StageOver)
	case (e.Keep || s.Terms.Keep) && e.Code != CodeProviderSilent:
		s.Later = true
		s.to(StageOver)
	}
	return nil
}

// retries reports that a loss is followed by another attempt: it was the provider's, nobody wants the end, and the
// budget has something left beside what the lost provider can redeem.
func (s *purchaseStep) retries(e LeaseOver) bool {
	if e.Fault != FaultProvider || s.Stopping() || len(s.Lost) >= s.Terms.Retry {
		return false
	}
	with := s.Purchase
	with.Lost = append(slices.Clone(s.Lost), s.attempt(e))
	return with.Left() > 0
}

func (s *purchaseStep) attempt(e LeaseOver) Attempt {
	return Attempt{
		Provider: s.Provider, Rate: s.Rate, Channel: s.Channel, Lease: s.Lease, Code: e.Code, Detail: e.Detail,
		Fault: e.Fault, Began: s.Began, Ended: s.now, Signed: e.Signed, Owed: e.Owed,
		Deposit: max(s.Deposit, e.Signed), Home: s.Home, Paid: s.Paid, Returned: s.Returned,
	}
}

// lose begins the next attempt.
func (s *purchaseStep) lose(e LeaseOver) {
	s.Lost = append(s.Lost, s.attempt(e))
	s.Provider, s.Rate, s.Channel, s.Lease, s.Deposit = NodeID{}, 0, ChannelID{}, LeaseID{}, 0
	s.Unfit, s.Home, s.Paid, s.Returned, s.Tx = 0, false, 0, 0, ""
	s.search(true)
}

// Refunding, Over: the last words were said.
func (s *purchaseStep) leaseGone(ev PurchaseEvent) error {
	if ev.(LeaseGone).Lease != s.Lease {
		return ErrIllegal
	}
	s.Lingers = false
	return nil
}

// The user's wish. Before a lease, and while no money moves, it ends the order at once.
func (s *purchaseStep) orderStopped(ev PurchaseEvent) error {
	s.Kill = s.Kill || ev.(OrderStopped).Kill
	s.stop(CodeStopped)
	return nil
}

// stop wants the end for a reason.
func (s *purchaseStep) stop(code Code) {
	if s.Stage >= StageRefunding {
		return
	}
	if s.StopCode == "" {
		s.StopCode = code
	}
	s.Stops++
	if s.Stage < StageFunding {
		s.fail(s.stopReason())
	}
}

func (s *purchaseStep) stopReason() Reason {
	op := "place order: "
	if s.Stage == StageInputs {
		op = "wait for inputs: "
	}
	return Reason{Code: s.StopCode, Detail: op + string(s.StopCode), Hint: "gpuai run"}
}

func (s *purchaseStep) stopTold(ev PurchaseEvent) error {
	s.Told = max(s.Told, min(ev.(StopTold).N, s.Stops))
	return nil
}

func (s *purchaseStep) budgetRaised(ev PurchaseEvent) error {
	s.Terms.Budget = max(s.Terms.Budget, ev.(BudgetRaised).Budget)
	return nil
}

func (s *purchaseStep) orderFailed(ev PurchaseEvent) error {
	s.fail(ev.(OrderFailed).Why)
	return nil
}

// fail ends an order that has no lease: → Refunding where a channel was made ready for it, else → Over.
func (s *purchaseStep) fail(why Reason) {
	s.End, s.Failed = why, true
	if s.End.Code == "" {
		s.End.Code = CodeInternal
	}
	if n := len(s.Lost); n > 0 && s.StopCode == "" {
		s.End.Detail = "after " + string(s.Lost[n-1].Code) + " at " + s.Lost[n-1].Provider.Short() + ": " + s.End.Detail
	}
	if s.Channel == (ChannelID{}) || s.Home {
		s.to(StageOver)
		return
	}
	s.to(StageRefunding)
}

// orderTick: the next look, the longest life, the longest silence of a job.
func (s *purchaseStep) orderTick(ev PurchaseEvent) error {
	if used := clean(ev.(OrderTick).Used); used.After(s.Used) && !used.After(s.now) {
		s.Used = used
	}
	due := s.NextTimer()
	if due.IsZero() || s.now.Before(due) {
		return nil
	}
	switch at := s.Placed.Add(s.Terms.TTL); {
	case s.Terms.TTL > 0 && s.Stage < StageRefunding && !s.Stopping() && !s.now.Before(at):
		s.stop(CodeOrderExpired)
	case s.Stage == StageSearching:
		s.round()
	case s.Stage == StageLeased:
		s.stop(CodeIdleStop)
	}
	return nil
}

// settled: what a finished channel has paid and returned. The order that waits for it is over.
func (s *purchaseStep) settled(ev PurchaseEvent) error {
	e := ev.(Settled)
	for i := range s.Lost {
		if a := &s.Lost[i]; a.Channel == e.Channel && a.Lease == e.Lease && !a.Home {
			a.Home, a.Paid, a.Returned = true, e.Paid, e.Returned
			return nil
		}
	}
	switch {
	case e.Channel != s.Channel || e.Lease != s.Lease || s.Home, s.Stage == StageProposing:
		return nil
	case s.Stage < StageLeased: // of an earlier look: the next one needs another channel
		s.Channel, s.Deposit = ChannelID{}, 0
		return nil
	}
	s.Home, s.Later, s.Paid, s.Returned, s.Tx = true, false, e.Paid, e.Returned, e.Tx
	if s.Stage == StageRefunding {
		s.to(StageOver)
	}
	return nil
}

// Refunding → Over.
func (s *purchaseStep) refundWaits(ev PurchaseEvent) error {
	if ev.(RefundWaits).Channel != s.Channel {
		return ErrIllegal
	}
	s.Later = true
	s.to(StageOver)
	return nil
}

// Quotes are not kept: an order that had one asks that provider again, first.
func (s *purchaseStep) nodeStarted(PurchaseEvent) error {
	switch s.Stage {
	case StageSearching, StageQuoting, StageFunding, StageProposing:
		if s.Stopping() {
			s.fail(s.stopReason())
			return nil
		}
		s.Prefer = s.Prefer || s.Stage >= StageFunding
		s.Resumed = true
		s.search(true)
	case StageLeased: // it may be refused yet
		s.Used, s.Resumed, s.Until = s.now, true, s.now.Add(purchasePatience)
	}
	return nil
}
