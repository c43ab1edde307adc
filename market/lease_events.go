package market

// Event is an input of the Lease machine; the set is sealed.
type Event interface{ isEvent() }

// Effect is an outside action that a new state asks for; the set is sealed. Each is idempotent by LeaseID/seq.
type Effect interface{ isEffect() }

// Events of both sides.
type (
	// Timer fires at NextTimer.
	Timer struct{}
	// StopAsked comes from the user, the peer's signed Stop, or the operator. Grace is cut to the lease's own.
	StopAsked struct {
		Code  string
		Fault Fault
		Kill  bool
	}
	// Agreed: both signed the Outcome and, with outputs, they were fetched.
	Agreed struct{}
)

// Events of the provider's side. BootMS is CLOCK_BOOTTIME in ms.
type (
	// JobReady: the command runs behind the open gate on these devices.
	JobReady struct{ BootMS uint64 }
	// JobSeen is a proof that the job was alive at BootMS.
	JobSeen struct{ BootMS uint64 }
	// PrepFailed ends a preparation: nothing is owed.
	PrepFailed struct {
		Code, Detail string
		Fault        Fault
	}
	// JobExited: the process has ended. BootMS 0 = the moment is not known, the last proof counts.
	JobExited struct {
		BootMS       uint64
		Exit         int32
		Code, Detail string
		Fault        Fault
	}
	// JobLost: rig or engine lost the job; billed to the last proof.
	JobLost struct {
		Code, Detail string
		Fault        Fault
	}
	// JobGone: no process of the job is left and the devices are clear.
	JobGone struct{}
	// PaymentStored: a Payment's lease_amount is on disk.
	PaymentStored struct{ LeaseAmount Amount }
	// Restarted: the node came back; SameBoot false means that the rig rebooted.
	Restarted struct{ SameBoot bool }
	// OutputsHashed: the manifest id of the outputs is known.
	OutputsHashed struct{ Root [32]byte }
)

// Events of the customer's side.
type (
	// DecisionSeen is the provider's signed answer.
	DecisionSeen struct {
		Accepted     bool
		Code, Detail string
	}
	// StatusSeen is the provider's whole truth; Away: this node itself was suspended, down or cut off since the last word.
	StatusSeen struct {
		Status Status
		BootMS uint64
		Away   bool
	}
	// ReceiptSeen is a verified Receipt.
	ReceiptSeen struct {
		Receipt Receipt
		BootMS  uint64
		Away    bool
	}
	// OutputsVerified: outputs are here and match Root.
	OutputsVerified struct{ Root [32]byte }
)

// Effects.
type (
	// WantJob: Want has changed.
	WantJob struct{}
	// SendReceipt: sign and push this Receipt; the newest is the message to repeat.
	SendReceipt struct{ Receipt Receipt }
	// SendStatus: push the state.
	SendStatus struct{}
	// FreeDevices: rows become Free in the same commit.
	FreeDevices struct{}
	// MakeOutcome: hash the outputs and sign the own Outcome (provider); fetch outputs, then sign (customer).
	MakeOutcome struct{}
	// KeepDebt: remember what stays unpaid.
	KeepDebt struct{ Sum Amount }
	// EndChannelShare: the lease's share of the channel is final; with no other live lease the Release is signed and pushed.
	EndChannelShare struct{ Owed Amount }
	// Cleanup: files and containers may go.
	Cleanup struct{}
	// SendLease: send the stored Lease bytes.
	SendLease struct{}
	// SendStop: sign and send a Stop.
	SendStop struct{ Code string }
	// Pay: sign a voucher with this lease_amount, store it, send it.
	Pay struct {
		LeaseAmount Amount
		OwnMS       uint64
		ReceiptSeq  uint64
	}
	// AskStatus: poll the provider.
	AskStatus struct{}
	// FinishChannel: with no other live lease, finish the channel with the Release.
	FinishChannel struct{}
)

func (Timer) isEvent()           {}
func (StopAsked) isEvent()       {}
func (Agreed) isEvent()          {}
func (JobReady) isEvent()        {}
func (JobSeen) isEvent()         {}
func (PrepFailed) isEvent()      {}
func (JobExited) isEvent()       {}
func (JobLost) isEvent()         {}
func (JobGone) isEvent()         {}
func (PaymentStored) isEvent()   {}
func (Restarted) isEvent()       {}
func (OutputsHashed) isEvent()   {}
func (DecisionSeen) isEvent()    {}
func (StatusSeen) isEvent()      {}
func (ReceiptSeen) isEvent()     {}
func (OutputsVerified) isEvent() {}

func (WantJob) isEffect()         {}
func (SendReceipt) isEffect()     {}
func (SendStatus) isEffect()      {}
func (FreeDevices) isEffect()     {}
func (MakeOutcome) isEffect()     {}
func (KeepDebt) isEffect()        {}
func (EndChannelShare) isEffect() {}
func (Cleanup) isEffect()         {}
func (SendLease) isEffect()       {}
func (SendStop) isEffect()        {}
func (Pay) isEffect()             {}
func (AskStatus) isEffect()       {}
func (FinishChannel) isEffect()   {}
