package market

import "time"

// Documents travel as signed envelopes of p2p/wire; times are whole unix milliseconds, durations whole milliseconds.
// Keep and verify the bytes as received: protobuf is not canonical.

// FieldID names a capability or term; the table is in capability.go. Fields holds stated values; an absent one is
// unknown, never 0.
type (
	FieldID uint8
	Fields  map[FieldID]uint64
)

// Offer is a provider's statement of its whole rig. A larger Seq replaces it; no Groups = withdrawn.
type Offer struct {
	Provider NodeID // the envelope's signer, not in the body
	Seq      uint64 // max(last + 1, unix ms)
	Lifetime time.Duration
	Groups   []DeviceGroup // ≤ 8
	Fields   Fields        // rig and term fields
	Mints    []Address     // ≤ 4, zero = SOL; order of DeviceGroup.Rates
	Payout   Address
	Version  string // ≤ 24 bytes
	Critical []FieldID
	Reach    []string // multiaddresses ≤ 4, outside the body but bound by its hash
}

// DeviceGroup is a set of identical devices: Free is a bit mask over Devices; Rates are per mint, 0 = not sold for it.
type DeviceGroup struct {
	Devices []DeviceID // 1..64
	Free    uint64
	Class   string // slug ≤ 32 of [a-z0-9-]; CPU slot: "cpu"
	Name    string // as measured, ≤ 48 bytes
	Fields  Fields
	Rates   []Rate
}

// Egress classes, as bits.
const (
	EgressNone uint8 = 1
	EgressWeb  uint8 = 2
	EgressAny  uint8 = 4
)

// Order kinds.
const (
	KindBatch   uint8 = 1
	KindService uint8 = 2
)

// Order is a customer's requirements. Image is "name@sha256:…"; sizes are bytes; Constraints ≤ 64. Private: neither
// side makes the Outcome of a lease public.
type Order struct {
	Nonce                                      OrderID
	Customer                                   NodeID
	Payer                                      Address
	ClusterTag                                 uint64
	Created, ValidUntil                        time.Time
	Kind                                       uint8
	Constraints                                []Term
	Devices                                    int
	Image                                      string
	ImageBytes, InputBytes                     uint64
	Platform                                   string
	CPUMilli                                   uint32
	RAM, Disk, Shm                             uint64
	Egress                                     uint8
	Mint                                       Address
	MaxRate                                    Rate
	Budget                                     Amount
	MaxDuration, Tick, StartTimeout, StopGrace time.Duration
	Private                                    bool
}

// Quote is a provider's answer to an Order, binding in price until Expires. It reserves nothing.
type Quote struct {
	Order            DocID
	Offer            DocID
	OfferSeq         uint64
	Devices          []DeviceID
	Rate             Rate
	Mint, Payout     Address
	Created, Expires time.Time
	Tick, Hold       time.Duration
	Prepay           uint8 // ticks, 0 or 1
	PrepMax          time.Duration
	FloorRate        uint64 // bytes per second
	MinHeadroom      Amount
	MinCloseDelay    time.Duration
	ReleaseKey       [32]byte
	ClaimFee         Amount
	FeePayer         Address
}

// Proposal is the body of a Lease document: Order and Quote are whole envelopes. BindSig: the voucher key's signature
// over "gpuai/bind/1" ‖ customer node key ‖ channel. Spec: JSON of runtime/spec, ≤ 32 KiB, no secrets.
type Proposal struct {
	Order, Quote         []byte
	Channel              ChannelID
	VoucherKey           [32]byte
	BindSig              [64]byte
	Cap                  Amount
	Spec                 []byte
	Nonce                [16]byte
	Created, AcceptUntil time.Time
}

// Decision is the provider's answer to a Lease.
type Decision struct {
	Lease      LeaseID
	Accepted   bool
	Code       Code
	Detail     string
	RetryAfter time.Duration
	At         time.Time
}

// Receipt is the provider's cumulative metered usage. Amount = Rate.For(devices, BillableMS).
type Receipt struct {
	Lease                              LeaseID
	Seq                                uint64
	BillableMS, PausedMS, UnobservedMS uint64
	Amount                             Amount
	State                              LeaseState
	Wall                               time.Time
	Final                              bool
}

// Payment carries a Voucher (50 bytes, escrow) for one Lease: LeaseAmount is this lease's cumulative share of the
// Voucher's total.
type Payment struct {
	Lease       LeaseID
	ReceiptSeq  uint64
	OwnMS       uint64
	LeaseAmount Amount
	Voucher     [50]byte
	Sig         [64]byte
}

// Stop asks for the end of a Lease.
type Stop struct {
	Lease     LeaseID
	Code      Code
	StopGrace time.Duration
	At        time.Time
}

// Amend is the customer's word that a Lease may cost up to Cap, more than it signed before.
type Amend struct {
	Lease LeaseID
	Cap   Amount
	At    time.Time
}

// Outcome is how a Lease ended; one signature is a claim, two are agreement. Amount is what is owed.
type Outcome struct {
	Lease                  LeaseID
	Fault                  Fault
	Code                   Code
	Accepted, Ready, Ended time.Time // Ready is zero if the job never was
	BillableMS             uint64
	Amount                 Amount
	ReceiptHash            [32]byte
	VoucherTotal           Amount
	ExitCode               int32
	OutputsRoot            [32]byte
	KeepChannel            bool
	LogBytes, LogMissing   uint64 // customer: of the job's log, and how much of it did not reach its node
	LogEnd                 LogEnd
	Deal                   Deal // zero: this side does not make the lease public
}

// LogEnd says whether the end of a job's log reached the customer.
type LogEnd uint8

// What a customer says of a log's end; LogUnsaid also where no job ran, and by older versions.
const (
	LogUnsaid LogEnd = iota
	LogWhole
	LogCut // bytes of an unknown number are missing behind the last one
)

// Status is the provider's whole truth about a Lease: push and poll carry the same. Receipt, Decision, Outcome are
// envelopes or nil.
type Status struct {
	Lease                      LeaseID
	State                      LeaseState
	Cause                      string // end or pause code
	Detail                     string // ≤ 256 bytes
	Phase                      string // progress: "pull", "inputs", "start"
	Done, Total                uint64
	HighestVoucher             Amount
	Devices                    []DeviceID // seen by the gate at Ready
	ExitCode                   int32
	Receipt, Decision, Outcome []byte

	// The voucher with the most money that the provider holds on the lease's channel, and this lease's share of it: a
	// customer whose store was put back knows its own signature. Zero: none, or a peer that does not say.
	Voucher     [50]byte
	VoucherSig  [64]byte
	LeaseAmount Amount
}

// Fault says whose doing an end was.
type Fault uint8

// Faults, persisted and on the wire: append-only.
const (
	FaultNone Fault = iota + 1
	FaultCustomer
	FaultProvider
	FaultUnknown
)

var faultWords = [...]string{"", "none", "customer", "provider", "unknown"}

func (f Fault) String() string {
	if int(f) < len(faultWords) {
		return faultWords[f]
	}
	return "unknown"
}

// LeaseState is the persisted state of a Lease; numbers are append-only.
type LeaseState uint8

// Lease states; "live" = Preparing..Stopping.
const (
	Proposed LeaseState = iota + 1
	Preparing
	Running
	Paused
	Stopping
	Releasing
	Closing
	Ended
	Refused
	Lapsed
	Silent
)

var stateWords = [...]string{"", "proposed", "preparing", "running", "paused", "stopping", "releasing", "closing",
	"ended", "refused", "lapsed", "silent"}

func (s LeaseState) String() string {
	if int(s) < len(stateWords) {
		return stateWords[s]
	}
	return "unknown"
}

// Live reports whether the state holds devices for a job: Preparing, Running, Paused or Stopping.
func (s LeaseState) Live() bool { return s >= Preparing && s <= Stopping }

// Term is one constraint of a query; a query is the AND of its terms. Field 0 constrains the class. Hi 0 with HasHi
// false is open.
type Term struct {
	Field     FieldID
	Lo, Hi    uint64
	HasHi     bool
	In        []uint64
	Classes   []string
	Not, Soft bool
}
