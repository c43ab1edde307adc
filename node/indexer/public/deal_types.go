package public

import (
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// Lease is how a lease ended, as both sides signed it. What it says of rate, seconds and amount is their word; settled
// is the chain's.
type Lease struct {
	Lease     string    `json:"lease"`
	Slug      string    `json:"slug"`
	Devices   int64     `json:"devices"`
	Rate      api.Money `json:"rate"` // of one device
	Provider  string    `json:"provider"`
	Customer  string    `json:"customer"`
	Channel   string    `json:"channel"`
	Payer     string    `json:"payer"`
	Payee     string    `json:"payee"`
	StartedAt rest.Time `json:"started_at,omitzero"` // the meter began; absent: it never did
	EndedAt   rest.Time `json:"ended_at"`
	Billable  int64     `json:"billable_s"`
	Amount    api.Money `json:"amount"`
	Code      string    `json:"code"`
	Fault     string    `json:"fault" enum:"none,customer,provider,unknown"`
	Outputs   string    `json:"outputs,omitempty"` // digest, hex
	SignedBy  []string  `json:"signed_by"`
	// the channel's settled amount covers it, and all of the channel that ended before; absent: the channel is not
	// known
	Settled *bool `json:"settled,omitempty"`
	Origin
}

// Leases are the newest ends first.
type Leases struct {
	Schema string  `json:"schema"`
	Leases []Lease `json:"leases"`
	Cursor string  `json:"cursor,omitempty"`
}

// LeasePage is one lease, the instructions of its channel, and what was signed.
type LeasePage struct {
	Schema string `json:"schema"`
	Lease
	Timeline     []Moment      `json:"timeline"`     // oldest first
	Transactions []Instruction `json:"transactions"` // of its channel, the oldest 200
	Documents    []Document    `json:"documents"`
}

// Moment is something that happened to a lease or its channel. The clock of a signed one is its signer's.
type Moment struct {
	At   rest.Time `json:"at"`
	What string    `json:"what"`
	Src  db.Source `json:"src" enum:"chain,gossip,signed"`
}

// Document is an Outcome as one side signed it, base64.
type Document struct {
	By       string `json:"by" enum:"provider,customer"`
	Envelope []byte `json:"envelope"`
}

// End counts leases that ended in one way.
type End struct {
	Code  string `json:"code"`
	Fault string `json:"fault" enum:"none,customer,provider,unknown"`
	N     int64  `json:"n"`
}

// Want is what a customer asks for and no provider of its book has, as it signed it.
type Want struct {
	Customer string    `json:"customer"`
	Slot     int64     `json:"slot"`
	Slugs    []string  `json:"slugs"` // any of them
	Devices  int64     `json:"devices"`
	Rate     api.Money `json:"rate,omitzero"` // at most, of one device; absent: any
	Duration int64     `json:"duration_s,omitempty"`
	Began    rest.Time `json:"began_at"` // asked for without a break
	Until    rest.Time `json:"until"`
	Origin
}

// Wants are the live ones.
type Wants struct {
	Schema string `json:"schema"`
	Wants  []Want `json:"wants"`
	Cursor string `json:"cursor,omitempty"`
}

// Bid is what is wanted at one price. Sum counts devices down to here.
type Bid struct {
	Rate    api.Money `json:"rate,omitzero"` // at most, of one device; absent: any
	Devices int64     `json:"devices"`
	Sum     int64     `json:"sum"`
	Wants   int64     `json:"wants"`
}

// Spread is between the highest price that is wanted at and the lowest that is asked; below 0 they meet, and somebody
// will take it.
type Spread struct {
	Value api.Money `json:"value"`
	Origin
}

// Wait is a time in seconds, a median.
type Wait struct {
	Value int64 `json:"value_s"`
	Origin
}

// Price is a cleared price; n counts leases. Pairs, payers and payees say how many different ones paid and were paid:
// a price of few is their word.
type Price struct {
	Value   api.Money `json:"value"`
	Pairs   int64     `json:"pairs"`
	Payers  int64     `json:"payers"`
	Payees  int64     `json:"payees"`
	DeviceS int64     `json:"device_s"`
	Origin
}

// Share is a part of a whole, 0 to 1; n counts the whole.
type Share struct {
	Value float64 `json:"value"`
	Origin
}

// ClearedPrices are what was paid for a model, hour by hour, oldest first: the open price index.
type ClearedPrices struct {
	Schema string         `json:"schema"`
	Slug   string         `json:"slug"`
	Step   int64          `json:"step_s"`
	Points []ClearedPoint `json:"points"`
	Origin
}

// ClearedPoint is an hour. An hour is closed when no document can change it any more and no lease of it waits for its
// money.
type ClearedPoint struct {
	At      rest.Time `json:"at"`             // of its begin
	Price   api.Money `json:"price,omitzero"` // absent: all its leases wait
	N       int64     `json:"n"`              // leases
	Pairs   int64     `json:"pairs"`
	Payers  int64     `json:"payers"`
	Payees  int64     `json:"payees"`
	DeviceS int64     `json:"device_s"`
	Waiting int64     `json:"waiting"` // leases whose money is not settled yet
	Closed  bool      `json:"closed"`
}

// Paid is the money of leases.
type Paid struct {
	Value api.Money `json:"value"`
	Origin
}

// Gossip is how long Offers were under way to this indexer within 24 hours, by two machines' clocks.
type Gossip struct {
	P50 int64 `json:"p50_us"`
	P95 int64 `json:"p95_us"`
	Origin
}
