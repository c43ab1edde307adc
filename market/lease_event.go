package market

import "time"

// Event is what happens to a Lease; the set is sealed. BootMS is the node's boot-time clock in ms, on which alone time
// is billed.
type Event interface{ kind() kind }

// kind numbers the events, for the transition tables.
type kind uint8

const (
	kAccepted kind = iota
	kPrepStep
	kJobReady
	kPrepFailed
	kJobSeen
	kJobExited
	kJobGone
	kEngineSilent
	kDeviceLost
	kDeviceBusy
	kDevicesClear
	kPayment
	kHeadroom
	kChainBlind
	kChainSeen
	kOutputsHashed
	kOutputsServed
	kPlaced
	kDecision
	kStatus
	kReceipt
	kHeard
	kPaymentAcked
	kFunds
	kOutputsVerified
	kCloseNow
	kStop
	kChainClosing
	kRestarted
	kOutcome
	kTimer
	kVoucher
	kUnknown
	kCapAsked
	kCapAnswered
	kCapRaised
	numKinds
)

// Events of the provider's side.
type (
	// Accepted: the Lease passed all checks; commit it together with the Decision and the device rows.
	Accepted struct{}
	// PrepStep names the step that runs now: "pull", "inputs", "create" or "start", and the last words of an engine or
	// a registry that refused it and is asked again.
	PrepStep struct{ Phase, Detail string }
	// JobReady: the command runs behind the open gate on the leased devices.
	JobReady struct{ BootMS uint64 }
	// PrepFailed: preparation failed for good. Fault may be 0: then it follows from Code.
	PrepFailed struct {
		Code   Code
		Detail string
		Fault  Fault
	}
	// JobSeen is a proof that the job is alive (process, start time, not frozen). Send one each Lease.ProbeEvery while
	// Running or Stopping.
	JobSeen struct{ BootMS uint64 }
	// JobExited: the process ended by itself or by a signal. BootMS 0: billed to the last proof. Code overrides the
	// usual one if set. JobGone and DevicesClear follow when nothing of the job is left.
	JobExited struct {
		Exit   int32
		OOM    bool
		BootMS uint64
		Code   Code
		Detail string
	}
	// JobGone: no process of the job exists. In Running and Paused this is container-lost.
	JobGone struct{}
	// EngineSilent: for more than 5 s neither the engine nor the process was seen.
	EngineSilent struct{}
	// DeviceLost: a leased device failed.
	DeviceLost struct{ Detail string }
	// DeviceBusy: the device still computes although the job is frozen.
	DeviceBusy struct{}
	// DevicesClear: after JobGone, the devices hold nothing of the job.
	DevicesClear struct{}
	// PaymentStored: a voucher is on disk. LeaseAmount is what it and the finalised deposit cover of this lease;
	// ReceiptSeq what it answers.
	PaymentStored struct {
		LeaseAmount Amount
		ReceiptSeq  uint64
	}
	// HeadroomSeen: what the channel's deposit leaves to this lease beyond what it owes.
	HeadroomSeen struct{ Left Amount }
	// ChainBlind, ChainSeen: the finalised view of the chain is too old, or fresh again. Say so at each check, not only
	// at changes.
	ChainBlind struct{}
	ChainSeen  struct{}
	// CapRaised: the customer has signed that the lease may cost up to Cap.
	CapRaised struct{ Cap Amount }
	// OutputsHashed: outputs_root is known; the Outcome names it.
	OutputsHashed struct{ Root [32]byte }
	// OutputsServed: the customer has fetched the outputs, or there are none. A Root that is not zero counts as
	// OutputsHashed.
	OutputsServed struct{ Root [32]byte }
)

// Events of the customer's side.
type (
	// Placed: the Lease is signed; commit it and the budget hold, then send.
	Placed struct{}
	// DecisionSeen: the provider's signed answer.
	DecisionSeen struct {
		Accepted bool
		Code     Code
		Detail   string
	}
	// StatusSeen: the provider's Status. WrongDevices: those at Ready are not those of the Quote. Ran: its signed
	// Outcome says that the job was ready, whether or not this side heard it then.
	StatusSeen struct {
		Status       Status
		WrongDevices bool
		Ran          bool
		BootMS       uint64
	}
	// ReceiptSeen: a Receipt with a good signature.
	ReceiptSeen struct {
		Receipt Receipt
		BootMS  uint64
	}
	// Heard: the provider's stream is alive.
	Heard struct{ BootMS uint64 }
	// PaymentAcked: the provider has stored a Payment; LeaseAmount is the share of this lease that it acknowledged.
	PaymentAcked struct{ LeaseAmount Amount }
	// FundsSeen: the most that this lease's share can reach by the channel's deposit.
	FundsSeen struct{ LeaseMax Amount }
	// OutputsVerified: the outputs are here, or there are none. Lost: the provider cannot serve the root that it
	// signed.
	OutputsVerified struct {
		Root [32]byte
		Lost bool
	}
	// VoucherSeen: the provider has shown a voucher of our own key that this node's store does not know, since it was
	// put back: this lease's share of it.
	VoucherSeen struct{ LeaseAmount Amount }
	// LeaseUnknown: the provider that accepted the lease says that it knows none.
	LeaseUnknown struct{}
	// CapAsked: the user wants the lease to cost up to Cap; not above what it may cost already: nothing to do.
	CapAsked struct{ Cap Amount }
	// CapAnswered: the provider has Cap on disk, or refuses it with Code.
	CapAnswered struct {
		Cap  Amount
		Code Code
	}
	// CloseNow: the user does not wait any longer for a provider in Closing.
	CloseNow struct{}
)

// Events of both sides.
type (
	// StopAsked: a person, a limit or the peer wants the end. By is who asks; Code "" is the side's usual one; Grace 0
	// is the Terms' one, < 0 none.
	StopAsked struct {
		By     Side
		Code   Code
		Detail string
		Grace  time.Duration
	}
	// ChainClosing: the channel is closing (finalised, or seen by two endpoints).
	ChainClosing struct{}
	// Restarted: the node's process is new (also the first start of the actor). It repeats all effects that the state
	// asks for.
	Restarted struct {
		SameBoot bool
		BootMS   uint64
	}
	// OutcomeAgreed: both signatures are under one Outcome.
	OutcomeAgreed struct{ KeepChannel bool }
	// Timer: Lease.NextTimer has passed. Offline: this node hears neither another peer nor the chain.
	Timer struct {
		BootMS  uint64
		Offline bool
	}
)

func (Accepted) kind() kind        { return kAccepted }
func (PrepStep) kind() kind        { return kPrepStep }
func (JobReady) kind() kind        { return kJobReady }
func (PrepFailed) kind() kind      { return kPrepFailed }
func (JobSeen) kind() kind         { return kJobSeen }
func (JobExited) kind() kind       { return kJobExited }
func (JobGone) kind() kind         { return kJobGone }
func (EngineSilent) kind() kind    { return kEngineSilent }
func (DeviceLost) kind() kind      { return kDeviceLost }
func (DeviceBusy) kind() kind      { return kDeviceBusy }
func (DevicesClear) kind() kind    { return kDevicesClear }
func (PaymentStored) kind() kind   { return kPayment }
func (HeadroomSeen) kind() kind    { return kHeadroom }
func (ChainBlind) kind() kind      { return kChainBlind }
func (ChainSeen) kind() kind       { return kChainSeen }
func (OutputsHashed) kind() kind   { return kOutputsHashed }
func (OutputsServed) kind() kind   { return kOutputsServed }
func (Placed) kind() kind          { return kPlaced }
func (DecisionSeen) kind() kind    { return kDecision }
func (StatusSeen) kind() kind      { return kStatus }
func (ReceiptSeen) kind() kind     { return kReceipt }
func (Heard) kind() kind           { return kHeard }
func (PaymentAcked) kind() kind    { return kPaymentAcked }
func (FundsSeen) kind() kind       { return kFunds }
func (OutputsVerified) kind() kind { return kOutputsVerified }
func (CloseNow) kind() kind        { return kCloseNow }
func (StopAsked) kind() kind       { return kStop }
func (ChainClosing) kind() kind    { return kChainClosing }
func (Restarted) kind() kind       { return kRestarted }
func (OutcomeAgreed) kind() kind   { return kOutcome }
func (Timer) kind() kind           { return kTimer }
func (VoucherSeen) kind() kind     { return kVoucher }
func (LeaseUnknown) kind() kind    { return kUnknown }
func (CapAsked) kind() kind        { return kCapAsked }
func (CapAnswered) kind() kind     { return kCapAnswered }
func (CapRaised) kind() kind       { return kCapRaised }
