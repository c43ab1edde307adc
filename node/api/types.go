package api

import (
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// Money is an amount in smallest units, as text because u64 does not fit a JavaScript number. Per is "hour" for rates.
type Money struct {
	Amount   string `json:"amount"`
	Mint     string `json:"mint"`
	Decimals int    `json:"decimals"`
	Symbol   string `json:"symbol"`
	Per      string `json:"per,omitempty"`
}

const solMint = "So11111111111111111111111111111111111111112"

// SOL makes Money of lamports.
func SOL(a market.Amount) Money {
	return Money{Amount: strconv.FormatUint(uint64(a), 10), Mint: solMint, Decimals: 9, Symbol: "SOL"}
}

// RateSOL makes Money per device-hour.
func RateSOL(r market.Rate) Money {
	m := SOL(market.Amount(r))
	m.Per = "hour"
	return m
}

// Lamports reads the amount; text that is no number reads as 0.
func (m Money) Lamports() market.Amount {
	n, err := strconv.ParseUint(m.Amount, 10, 64)
	if err != nil {
		return 0
	}
	return market.Amount(n)
}

// String is for people: "0.0024 SOL" or "0.0024 SOL/hour".
func (m Money) String() string {
	s := m.Lamports().SOL() + " SOL"
	if m.Per != "" {
		s += "/" + m.Per
	}
	return s
}

// Status describes the node.
type Status struct {
	Schema    string    `json:"schema"`
	PeerID    string    `json:"peer_id"`
	Name      string    `json:"name,omitempty"`
	Version   string    `json:"version"`
	Network   string    `json:"network"`
	Genesis   string    `json:"genesis,omitempty"`
	Roles     []string  `json:"roles"`
	Addresses []string  `json:"addresses"`
	Peers     int       `json:"peers"`
	Quiet     bool      `json:"quiet,omitempty"` // it hears no offers of others but those that it asks for
	Offers    int       `json:"offers"`
	Orders    int       `json:"orders"`
	Leases    int       `json:"leases"`
	StartedAt rest.Time `json:"started_at"`
	Wallet    string    `json:"wallet,omitempty"`
	Sells     *bool     `json:"sells,omitempty"`     // of a provider: it takes new leases
	SellsWhy  string    `json:"sells_why,omitempty"` // why it does not
	Notice    string    `json:"notice,omitempty"`    // what its owner should know, for people
	Index     string    `json:"index,omitempty"`     // of an indexer: where its site and its public API are
	StatusSpool
}

// StatusSpool is what a node keeps for its orders: the bytes of their inputs and outputs, and how many outputs nobody
// has fetched.
type StatusSpool struct {
	SpoolBytes   uint64 `json:"spool_bytes"`
	SpoolWaiting int    `json:"spool_waiting"`
}

// Offer is one rig of the book. Facts are what it states, and what this node knows of it: rtt, ready, score, uptime and
// known, as far as they are.
type Offer struct {
	Schema    string            `json:"schema"`
	Provider  string            `json:"provider"`
	Class     string            `json:"class"`
	Devices   int               `json:"devices"`
	Free      int               `json:"free"`
	Rate      Money             `json:"rate"`
	CPUMilli  uint32            `json:"cpu_milli"`
	RAMBytes  uint64            `json:"ram_bytes"`
	DiskBytes uint64            `json:"disk_bytes"`
	Egress    uint8             `json:"egress"`
	Tick      int64             `json:"tick_ms"`
	Facts     map[string]string `json:"facts,omitempty"`
	Seen      rest.Time         `json:"seen_at"`
	RTTms     *int64            `json:"rtt_ms,omitempty"`     // round trip; absent: not measured
	Orders    *Experience       `json:"experience,omitempty"` // of this node; absent: none
	Place     string            `json:"-"`                    // in the list that it is of
}

// Experience is how a provider's leases with this node ended.
type Experience struct {
	Orders     int `json:"orders"`
	Failed     int `json:"failed"`      // by its fault
	NotStarted int `json:"not_started"` // of these
}

// Depth is what is offered of a class of devices, the cheapest rate first, and what orders that wait for a rig would
// pay at most, the highest rate first.
type Depth struct {
	Schema string       `json:"schema"`
	Class  string       `json:"class"`
	Levels []DepthLevel `json:"levels"`
	Free   int          `json:"free"`
	Rented int          `json:"rented"`
	Bids   []DepthBid   `json:"bids"`
	Wanted int          `json:"wanted"`            // devices, of all bids
	Ask    Money        `json:"best_ask,omitzero"` // absent: nothing is free
	Bid    Money        `json:"best_bid,omitzero"` // absent: no bid names a rate
	// best_ask - best_bid; absent: one of them is, or the bid reaches the ask and other terms keep the two apart
	Spread Money `json:"spread,omitzero"`
}

// DepthBid is one rate that Wants name as their most: what is wanted there, and with all that pay more.
type DepthBid struct {
	Rate    Money `json:"rate,omitzero"` // absent: any rate
	Wants   int   `json:"wants"`
	Devices int   `json:"devices"`
	Up      int   `json:"cumulated_devices"`
}

// DepthLevel is one rate: what is free there, and with all cheaper ones.
type DepthLevel struct {
	Rate   Money `json:"rate"`
	Rigs   int   `json:"rigs"`
	Free   int   `json:"free"`
	Rented int   `json:"rented"`
	Up     int   `json:"cumulated_free"`
}

// Wallet is the spending account.
type Wallet struct {
	Schema     string `json:"schema"`
	Address    string `json:"address"`
	Network    string `json:"network"`
	Available  Money  `json:"available"`
	InChannels Money  `json:"in_channels"`
	AtRisk     Money  `json:"at_risk"`
	Returning  Money  `json:"returning"`
	// held by the ledger for channels' accounts, comes back; not part of the others
	Storage   Money  `json:"storage_deposit,omitzero"`
	Paid      Money  `json:"paid,omitzero"`         // due for jobs, of all orders that the node knows
	Fees      Money  `json:"network_fees,omitzero"` // of their transactions
	ClaimFees Money  `json:"claim_fees,omitzero"`   // of their channels
	Tx        string `json:"tx,omitempty"`          // of an airdrop
}

// Transfer is a withdrawal. Of all that is free, Kept stays for the fees of the node's channels that still have to be
// closed, Channels of them; a repeat of one that was sent does not know its amount.
type Transfer struct {
	Schema   string `json:"schema"`
	To       string `json:"to"`
	Amount   Money  `json:"amount"`
	Tx       string `json:"tx"`
	Kept     Money  `json:"kept,omitzero"`
	Channels int    `json:"kept_for_channels,omitempty"`
}

// Channel is an own payment channel.
type Channel struct {
	Schema   string     `json:"schema"`
	Address  string     `json:"address"`
	Provider string     `json:"provider"`
	State    string     `json:"state"`
	Deposit  Money      `json:"deposit"`
	Paid     Money      `json:"paid"`
	Returned Money      `json:"returned"`
	OpenedAt rest.Time  `json:"opened_at"`
	ClosesAt *rest.Time `json:"closes_at,omitempty"`
	// of paid: the provider's account cannot take it yet, and the storage deposit waits with it
	Waits *Money `json:"payee_waits,omitempty"`
	Tx    string `json:"tx,omitempty"`
	// why its next step did not work; it is tried again
	Trouble string `json:"trouble,omitempty"`
}

// Device is one device of the rig.
type Device struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	Class  string `json:"class"`
	State  string `json:"state"`
	Lease  string `json:"lease_id,omitempty"`
	Rate   Money  `json:"rate"`
}

// Provider is the selling side.
type Provider struct {
	Schema   string           `json:"schema"`
	Selling  bool             `json:"selling"`
	Why      string           `json:"why,omitempty"`  // it does not sell
	Note     string           `json:"note,omitempty"` // what its owner should know all the same
	Payout   string           `json:"payout"`
	FeePayer string           `json:"fee_payer"`
	Rate     Money            `json:"rate"`
	Rates    map[string]Money `json:"rates"` // by model, where it differs
	Devices  []Device         `json:"devices"`
	Waits    *Money           `json:"payout_waits,omitempty"` // settled, and the payout account cannot take it yet
	Missing  *Money           `json:"payout_lacks,omitempty"` // until it can
	Since    *rest.Time       `json:"since,omitempty"`        // it sells, or does not
	Leases   int              `json:"leases"`
	// settled and claimable: of jobs that ended, and what is claimed of others
	Earned  Money `json:"earned"`
	Settled Money `json:"settled,omitzero"` // on the chain
	// owed by jobs that ended, covered by vouchers, not on the chain yet
	Claim Money `json:"claimable,omitzero"`
	Now   Money `json:"earning_now,omitzero"` // the same of jobs that run; not in earned
}

// ProviderPatch changes what is given; Rates replaces all of them. Rates are in lamports per device and hour.
type ProviderPatch struct {
	Selling *bool            `json:"selling,omitempty"`
	Rate    *Money           `json:"rate,omitempty"`
	Rates   map[string]Money `json:"rates,omitempty"`
}

// TransformSchema implements huma.SchemaTransformer.
func (ProviderPatch) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["rate"], s.Properties["rates"].AdditionalProperties = askedMoney(), askedMoney()
	return s
}

// Lease is one lease of this node: role "provider" or "customer". Peer fields name the other side.
type Lease struct {
	Schema   string      `json:"schema"`
	ID       string      `json:"id"`
	Role     string      `json:"role"`
	Order    string      `json:"order_id,omitempty"` // the customer's
	Customer string      `json:"customer,omitempty"`
	Provider string      `json:"provider,omitempty"`
	State    string      `json:"state"`
	Cause    string      `json:"cause,omitempty"`
	Code     market.Code `json:"code,omitempty"`
	Devices  int         `json:"devices"`
	LeaseMoney
	CreatedAt rest.Time `json:"created_at"`
	LeaseAsked
	LeaseUse
}

// LeaseMoney is what a lease costs, by the meter and by vouchers.
type LeaseMoney struct {
	Rate       Money `json:"rate"`
	Owed       Money `json:"owed"`                  // by the meter
	Paid       Money `json:"paid"`                  // of it, covered by vouchers
	Ahead      Money `json:"signed_ahead,omitzero"` // beyond what is owed; not earned
	BillableMS int64 `json:"billable_ms"`
}

// LeaseAsked is what was asked for of the rig.
type LeaseAsked struct {
	Image    string `json:"image,omitempty"` // this and what follows: what was asked for
	CPUMilli uint32 `json:"cpu_milli,omitempty"`
	RAM      uint64 `json:"ram_bytes,omitempty"`
	Disk     uint64 `json:"disk_bytes,omitempty"`
	Egress   string `json:"egress,omitempty"` // none, web or any
}

// LeaseUse is what the job takes of it; on the provider's list only.
type LeaseUse struct {
	UsedCPUMS int64  `json:"used_cpu_ms,omitempty"` // by the job since its start; on the provider's list only
	UsedRAM   uint64 `json:"used_ram_bytes,omitempty"`
}

// LeaseReceipt is one Receipt of a lease: base64 of the signed bytes, and what they say.
type LeaseReceipt struct {
	Schema string `json:"schema"`
	Lease  string `json:"lease_id"`
	Seq    uint64 `json:"seq"`
	Claim  Money  `json:"claim"`
	Signed []byte `json:"signed"`
}

// LeaseOutcome is how a lease ended, as each side signed it; base64 of the signed bytes.
type LeaseOutcome struct {
	Schema       string `json:"schema"`
	Lease        string `json:"lease_id"`
	Amount       Money  `json:"amount"`
	Provider     []byte `json:"provider_signed,omitempty"`
	Customer     []byte `json:"customer_signed,omitempty"`
	SignedByBoth bool   `json:"signed_by_both"`

	Logs *LogState `json:"logs,omitempty"` // what the customer says of the job's log
}

// Build says what answers; MinClient is the oldest API client that is understood.
type Build struct {
	Schema    string `json:"schema"`
	Version   string `json:"version"`
	MinClient string `json:"min_client"`
}

// Setting is one key of the configuration; From is default, file, env or flag. Hot keys apply without a restart.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
	Hot   bool   `json:"hot"`
}

// Settings is the node's configuration. Restart names keys whose change waits for the node's next start.
type Settings struct {
	Schema   string    `json:"schema"`
	File     string    `json:"file,omitempty"`
	Settings []Setting `json:"settings"`
	Restart  []string  `json:"restart"`
}

// SettingsPatch sets keys to values, as text.
type SettingsPatch struct {
	Set map[string]string `json:"set"`
}

// Finding is one line of doctor. Level is ok, warn or fail; effect none, tier or no-sell.
type Finding struct {
	Group    string      `json:"group"`
	Code     market.Code `json:"code,omitempty"`
	Level    string      `json:"level"`
	Effect   string      `json:"effect,omitempty"`
	Actual   string      `json:"actual"`
	Required *float64    `json:"required,omitempty"`
	Op       string      `json:"op,omitempty"`
	Unit     string      `json:"unit,omitempty"`
	Why      string      `json:"why,omitempty"`
	Fix      []rest.Fix  `json:"fix"`
}

// Doctor is a report about this machine. Level is the worst finding's.
type Doctor struct {
	Schema    string     `json:"schema"`
	Level     string     `json:"level"`
	CheckedAt *rest.Time `json:"checked_at,omitempty"` // absent: not yet
	Findings  []Finding  `json:"findings"`
}

// DoctorRequest asks for groups of checks, empty = all.
type DoctorRequest struct {
	Only    []string `json:"only,omitempty"`
	Offline bool     `json:"offline,omitempty"`
}

// Withdrawal sends Amount, or All that is free; the same Key is the same transfer.
type Withdrawal struct {
	Key    string
	To     string
	Amount market.Amount
	All    bool
}
