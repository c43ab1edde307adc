package db

import (
	"errors"
	"fmt"
	"math"

	"github.com/gpuai/gpuai/market"
)

// Rig is the newest Offer of a provider, and what this indexer has seen of it. Times are unix milliseconds, 0: never.
// Raw is the signed Offer without its addresses, which verifies all the same.
type Rig struct {
	Peer              string
	Seq               int64
	Raw               []byte
	FirstAt, LastAt   int64
	ExpiresAt         int64
	Live              bool // neither withdrawn nor expired
	Payout            string
	Version, Country  string // country "" = not said
	Devices, Free     int64
	ProbedAt, Reached int64 // this indexer dialled it; it answered
	RTT               int64 // µs of the last answer
	Lots              []Lot
}

// SOLMint is how SOL is named where a mint is.
const SOLMint = "So11111111111111111111111111111111111111112"

// Lot is a group of equal devices of a rig at the price of one mint. Rate is per device-hour, 0: not sold. Sizes are
// bytes; what was not stated is 0.
type Lot struct {
	Peer           string
	Ix             int64 // the group's place in the Offer
	Mint           string
	Class, Name    string
	Devices, Free  int64
	Rate           int64
	VRAM, RAM      int64
	CPUMilli, Disk int64
	Country        string
	Payout         string
	Reached        int64
	// Lead: the first row of its group. Head: the first row of its class in its rig. A count of devices takes leads,
	// one of rigs takes heads.
	Lead, Head bool
}

// Probe is one attempt to reach a rig.
type Probe struct {
	Peer string
	At   int64
	OK   bool
	RTT  int64 // µs
}

// Channel is an account of the escrow program at finality; Slot is of the read.
type Channel struct {
	ID           string
	Status       int64 // escrow.Status
	Payer, Payee string
	Mint         string
	VoucherKey   string // signs its vouchers; "": not known
	Decimals     int64
	Deposit      int64
	Settled      int64
	Paid         int64
	Refunded     int64
	Deadline     int64 // unix s, 0 while open
	CloseDelay   int64 // s
	OpenedAt     int64 // unix s
	OpenSlot     int64
	Lamports     int64
	Slot         int64
	MovedAt      int64 // unix ms of its newest instruction
}

// Results of an instruction.
const (
	TxOK     = "ok"
	TxFailed = "failed"   // its transaction failed: it settled nothing
	TxUnread = "not read" // of a form that this version does not know
)

// Tx is one instruction of the escrow program: its signature, its place in the transaction, and inside the call of
// another program (-1: not inside one). At is the block's time, unix ms.
type Tx struct {
	Sig          string
	Outer, Inner int64
	Slot, At     int64
	Result       string
	Name         string
	Channel      string
	Authority    string // who paid, or asked to close
	// of open and top_up: the deposit afterwards; of claim, record, release: settled afterwards; else 0
	Amount int64
}

// Bucket is a figure over a span of time.
type Bucket struct {
	Metric, Key, Mint        string
	Step                     int64 // s
	At                       int64 // unix ms of its begin
	N                        int64
	Low, P10, P50, P90, High int64
	Devices, Free            int64
	Leased, Wanted           int64
}

// event is a row of what happened; data is JSON.
type event struct {
	at          int64
	topic, data string
}

// Digest is the hash over a 256th of the rows of a table at a slot.
type Digest struct {
	Slot int64
	What string
	Part int64
	N    int64
	Hash string
}

// ErrTooLarge is an amount that no column holds.
var ErrTooLarge = errors.New("amount over 2^63-1")

// Amount is a u64 as a column holds it. Error: ErrTooLarge.
func Amount[T ~uint64](a T) (int64, error) {
	if uint64(a) > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %d", ErrTooLarge, uint64(a))
	}
	return int64(a), nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func missing(what string) error {
	return &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "look up",
		Detail: "this index has no such " + what, Hint: "check the id; what is new takes a moment"}
}
