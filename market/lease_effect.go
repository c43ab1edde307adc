package market

import "time"

// Effect is what a new state asks the node to do, after the commit; the set is sealed. All are idempotent: they may be
// repeated.
type Effect interface{ isEffect() }

// JobPhase is what the job should be; the numbers equal runtime/job.Phase.
type JobPhase uint8

// Job phases. 0: no job yet.
const (
	WantRunning JobPhase = iota + 1
	WantPaused
	WantGone
)

// Effects of the provider's side.
type (
	// WantJob: reconcile the job to Phase. Grace: time from StopAt, when SIGTERM is sent, to SIGKILL, 0 kills at
	// once; only with WantGone.
	WantJob struct {
		Phase JobPhase
		Grace time.Duration
	}
	// SendReceipt: sign and send; it is on disk already, as the lease's last one.
	SendReceipt struct{ Receipt Receipt }
	// SendStatus: push Lease's whole truth.
	SendStatus struct{}
	// FreeDevices: device rows Free, or Quarantined; then a new Offer.
	FreeDevices struct{ Quarantine bool }
	// SignOutcome: make this side's signed Outcome (Lease.Outcome) and have it in Status.
	SignOutcome struct{}
	// ClaimNow: let the settlement policy redeem what is owed.
	ClaimNow struct{}
	// SignRelease: if no other lease of the channel lives, sign a Release at the sum owed.
	SignRelease struct{}
	// RemoveFiles: the job's files may go.
	RemoveFiles struct{}
)

// Effects of the customer's side.
type (
	// SendLease: propose the committed bytes.
	SendLease struct{}
	// PushInputs: the lease is accepted, bring the inputs.
	PushInputs struct{}
	// SendStop: sign and send a Stop. Repeated until the provider has stopped.
	SendStop struct {
		Code  Code
		Grace time.Duration
	}
	// SignPayment: sign a voucher so that this lease's share is LeaseAmount, commit it, send it. LeaseAmount may equal
	// the last one: repeat it.
	SignPayment struct {
		LeaseAmount Amount
		ReceiptSeq  uint64
	}
	// AskStatus: send a StatusRequest and feed the answer back as StatusSeen.
	AskStatus struct{}
	// FetchOutputs: bring the outputs home and feed back OutputsVerified.
	FetchOutputs struct{}
	// SendOutcome: sign and send this side's Outcome (Lease.Outcome); feed back OutcomeAgreed when the other signature
	// is there.
	SendOutcome struct{}
	// TopUp: four fifths of what the channel leaves to this lease are signed.
	TopUp struct{}
	// RaiseCap: sign and send the new cap; feed back CapAnswered.
	RaiseCap struct{ Cap Amount }
)

func (WantJob) isEffect()      {}
func (SendReceipt) isEffect()  {}
func (SendStatus) isEffect()   {}
func (FreeDevices) isEffect()  {}
func (SignOutcome) isEffect()  {}
func (ClaimNow) isEffect()     {}
func (SignRelease) isEffect()  {}
func (RemoveFiles) isEffect()  {}
func (SendLease) isEffect()    {}
func (PushInputs) isEffect()   {}
func (SendStop) isEffect()     {}
func (SignPayment) isEffect()  {}
func (AskStatus) isEffect()    {}
func (FetchOutputs) isEffect() {}
func (SendOutcome) isEffect()  {}
func (TopUp) isEffect()        {}
func (RaiseCap) isEffect()     {}
