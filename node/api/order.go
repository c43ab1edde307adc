package api

import (
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Step is one line of progress.
type Step struct {
	At     rest.Time `json:"at"`
	Phase  string    `json:"phase"`
	Detail string    `json:"detail"`
}

// Progress is how far the current phase is; Total 0 = unknown.
type Progress struct {
	Phase string `json:"phase"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

// Order is an order and its lease.
type Order struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	// of the job file: its owner's own words about it
	Labels   map[string]string `json:"labels,omitempty"`
	Standing string            `json:"standing"` // searching, funding, leased, ended, failed
	State    string            `json:"state,omitempty"`
	Cause    string            `json:"cause,omitempty"`
	Code     market.Code       `json:"code,omitempty"`
	Detail   string            `json:"detail,omitempty"`
	Hint     string            `json:"hint,omitempty"`
	Fault    string            `json:"fault,omitempty"`
	Provider string            `json:"provider,omitempty"`
	LeaseID  string            `json:"lease_id,omitempty"`
	Image    string            `json:"image,omitempty"`
	Devices  int               `json:"devices"`
	OrderMoney
	OrderRun
	OrderClose
	Logs *LogState `json:"logs,omitempty"` // of the job; absent while there is none
	OrderFiles
}

// OrderMoney is what an order costs, may still cost, and puts at risk.
type OrderMoney struct {
	Rate        Money `json:"rate,omitzero"` // absent: no rig has said one yet
	Cap         Money `json:"cap"`
	Owed        Money `json:"owed"`
	Paid        Money `json:"paid"`                  // due by the meter and acknowledged; it never falls
	SignedAhead Money `json:"signed_ahead,omitzero"` // beyond paid: comes back, or becomes due
	// the most that may be lost while this computer sleeps from now on
	AtRisk   Money `json:"at_risk"`
	AsleepMS int64 `json:"asleep_runs_ms"`    // how long the job works on then, before it is paused
	HoldMS   int64 `json:"hold_ms,omitempty"` // and how long it is paused before it is ended
	// at this rate, until it is told to stop by its cap or longest time
	StopsInMS int64 `json:"stops_in_ms,omitempty"`
	CapLeft   Money `json:"cap_left,omitzero"`
	// in the cap: what is left for the job to end by itself
	GraceMS int64 `json:"stop_grace_ms,omitempty"`
	// of this wallet's transactions for the order, so far
	NetworkFees Money `json:"network_fees,omitzero"`
	ClaimFee    Money `json:"claim_fee,omitzero"` // went to the rig, for its own transactions
	// paid, network_fees and claim_fee: what the wallet has less for good
	Cost Money `json:"cost,omitzero"`
	// held by the ledger for the channel's account, comes back
	StorageDeposit Money `json:"storage_deposit,omitzero"`
}

// OrderRun is how far an order and its job are.
type OrderRun struct {
	OwnMS      int64      `json:"own_ms"`
	BillableMS int64      `json:"billable_ms"`
	ReceiptSeq uint64     `json:"receipt_seq"`
	ExitCode   *int       `json:"exit_code,omitempty"` // absent: the job has not exited
	CreatedAt  rest.Time  `json:"created_at"`
	ReadyAt    *rest.Time `json:"ready_at,omitempty"`
	HeardAt    *rest.Time `json:"heard_at,omitempty"` // the provider was heard last, while the order goes on
	Channel    string     `json:"channel,omitempty"`
	Steps      []Step     `json:"steps"`
	Progress   Progress   `json:"progress,omitzero"` // absent: nothing is under way
	// while it searches: what for, and until when, if it was told to wait
	Waits      string     `json:"waits,omitempty"`
	WaitsUntil *rest.Time `json:"waits_until,omitempty"`
}

// OrderClose is how an order comes to its end: the deposit that is back or on its way, and what was signed.
type OrderClose struct {
	Deposit             Money  `json:"deposit"`
	Returned            Money  `json:"returned"`
	FinishTx            string `json:"finish_tx,omitempty"`
	Finished            bool   `json:"finished"`     // the channel is settled, or none was opened
	RefundLater         bool   `json:"refund_later"` // the order is over, its channel goes on
	OutputsRoot         string `json:"outputs_root,omitempty"`
	OutputsReady        bool   `json:"outputs_ready"`
	OutcomeSignedByBoth bool   `json:"outcome_signed_by_both"`
	// of paid: settled, and not with the provider yet, whose account does not exist
	PayeeWaits *Money `json:"payee_waits,omitempty"`
	// what is not spent is back after this, without the provider
	RefundDue *rest.Time `json:"refund_due,omitempty"`
	// leases before this one that their providers lost; their sums are part of paid, deposit and returned
	Attempts []Attempt `json:"attempts,omitempty"`
}

// labelled reports whether the order has all of these labels, each NAME=VALUE.
func (o Order) labelled(all []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool {
		name, value, _ := strings.Cut(s, "=")
		have, ok := o.Labels[name]
		return !ok || have != value
	})
}

// Attempt is a lease of an order that its provider lost: why, and what it has cost.
type Attempt struct {
	Provider string      `json:"provider"`
	Lease    string      `json:"lease_id"`
	Channel  string      `json:"channel"`
	Rate     Money       `json:"rate"`
	Code     market.Code `json:"code"`
	Detail   string      `json:"detail,omitempty"`
	Fault    string      `json:"fault"`
	Began    rest.Time   `json:"began_at"`
	Ended    rest.Time   `json:"ended_at"`
	Cost     Money       `json:"cost"` // owed; once finished what was paid
	Returned Money       `json:"returned"`
	Finished bool        `json:"finished"` // its channel is settled
}

// Ended reports whether nothing more happens to the job.
func (o Order) Ended() bool { return o.Standing == "ended" || o.Standing == "failed" }

// Receipt is the proof of what ran and what was paid; the documents are base64 of the signed bytes.
type Receipt struct {
	Schema     string `json:"schema"`
	Order      Order  `json:"order"`
	Lease      []byte `json:"lease,omitempty"`
	Receipt    []byte `json:"receipt,omitempty"`
	Outcome    []byte `json:"outcome,omitempty"`
	OwnOutcome []byte `json:"own_outcome,omitempty"`
}
