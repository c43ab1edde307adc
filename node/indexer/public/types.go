package public

import (
	"strconv"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// Origin says where a figure comes from: src, as of when, over how many (n), and since when it is known here. What only
// gossip knew has no history before since.
type Origin struct {
	Src   db.Source `json:"src" enum:"chain,gossip,probe,signed"`
	AsOf  AsOf      `json:"as_of"`
	N     int64     `json:"n"`
	Since rest.Time `json:"since,omitzero"`
}

// AsOf is a slot of the chain or a moment.
type AsOf struct {
	Slot int64     `json:"slot,omitempty"`
	At   rest.Time `json:"at,omitzero"`
}

// Count is a number of things.
type Count struct {
	Value int64 `json:"value"`
	Origin
}

// Band is how prices spread over the devices that are sold at them, per device and hour.
type Band struct {
	Low    api.Money `json:"low"`
	P10    api.Money `json:"p10"`
	Median api.Money `json:"median"`
	P90    api.Money `json:"p90"`
	High   api.Money `json:"high"`
}

// Asks are the prices that are asked in one mint; n counts offers.
type Asks struct {
	Value Band `json:"value"`
	Origin
}

// GPUs counts devices. Each word is defined at /definitions. Proven is absent while nobody reports proofs of hardware.
type GPUs struct {
	Proven    *Count `json:"proven,omitempty"`
	Leased    Count  `json:"leased"`
	Reachable Count  `json:"reachable"`
	Announced Count  `json:"announced"`
	Free      Count  `json:"free"`
}

// Model is what the market has of one model. Its slug names it in paths.
type Model struct {
	Slug string `json:"slug"`
	Rigs Count  `json:"rigs"`
	GPUs GPUs   `json:"gpus"`
	Asks []Asks `json:"asks"`

	Wanted      Count  `json:"wanted"`                // devices that customers ask for
	Utilisation *Share `json:"utilisation,omitempty"` // leased of announced
	Cleared     *Price `json:"cleared,omitempty"`     // over 24 hours; absent: nobody paid for it
}

// Summary is the market on one page. Models are those with most free devices, at most ten.
type Summary struct {
	Schema  string  `json:"schema"`
	Network string  `json:"network"`
	Epoch   string  `json:"epoch"` // of this index; one that was built anew has another
	GPUs    GPUs    `json:"gpus"`
	Rigs    Count   `json:"rigs"`
	Models  []Model `json:"models"`
	Jobs    Count   `json:"jobs_24h"` // leases that ended, cost something, and are paid
	Paid    []Paid  `json:"paid_24h"` // for them, by mint
	Leases  []Lease `json:"leases"`   // the last five whose channel is theirs
}

// Models are all that are announced, by slug.
type Models struct {
	Schema string  `json:"schema"`
	Models []Model `json:"models"`
	Cursor string  `json:"cursor,omitempty"`
}

// ModelPage is one model.
type ModelPage struct {
	Schema string `json:"schema"`
	Model
}

// Prices are what was asked for a model over time, oldest first. Each point is the market at the end of its span.
type Prices struct {
	Schema string  `json:"schema"`
	Slug   string  `json:"slug"`
	Step   int64   `json:"step_s"`
	Points []Point `json:"points"`
	Origin
}

// Point is a span of time; n counts offers.
type Point struct {
	At      rest.Time `json:"at"` // of its begin
	Asks    Band      `json:"asks"`
	N       int64     `json:"n"`
	Devices int64     `json:"devices"`
	Free    int64     `json:"free"`
	Leased  int64     `json:"leased"`
	Wanted  int64     `json:"wanted"`
}

// Depth is what is asked for a model, the cheapest first, and what customers who found nothing would give, those first
// who name no price, then the highest; at most 200 levels of each.
type Depth struct {
	Schema string  `json:"schema"`
	Slug   string  `json:"slug"`
	Asks   []Level `json:"asks"`
	Bids   []Bid   `json:"bids"`
	Spread *Spread `json:"spread,omitempty"` // absent: a side has no price
	Fill   *Wait   `json:"fill,omitempty"`   // from a Want to its lease, of 30 days; absent: not known
	Origin
}

// Level is what is asked at one price. Sum counts free devices up to here.
type Level struct {
	Rate    api.Money `json:"rate"`
	Devices int64     `json:"devices"`
	Free    int64     `json:"free"`
	Sum     int64     `json:"sum"`
	Offers  int64     `json:"offers"`
}

// Offer is a group of equal devices at a price, as the provider signed it. What was not stated is absent.
type Offer struct {
	Peer      string    `json:"peer"`
	Group     int64     `json:"group"` // its place in the signed Offer
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	Devices   int64     `json:"devices"`
	Free      int64     `json:"free"`
	Rate      api.Money `json:"rate,omitzero"` // absent: not sold
	VRAMBytes int64     `json:"vram_bytes,omitempty"`
	RAMBytes  int64     `json:"ram_bytes,omitempty"`
	DiskBytes int64     `json:"disk_bytes,omitempty"`
	CPUMilli  int64     `json:"cpu_milli,omitempty"`
	Country   string    `json:"country,omitempty"`
	Reached   rest.Time `json:"reached_at,omitzero"` // when this indexer reached the rig last
}

// Offers are lots on sale, the cheapest first.
type Offers struct {
	Schema string  `json:"schema"`
	Offers []Offer `json:"offers"`
	Cursor string  `json:"cursor,omitempty"`
	Origin
}

// Provider is a rig by its newest Offer, and what this indexer saw of it.
type Provider struct {
	Peer      string    `json:"peer"`
	Seq       int64     `json:"seq"`
	Live      bool      `json:"live"` // neither withdrawn nor expired
	ExpiresAt rest.Time `json:"expires_at"`
	Payout    string    `json:"payout"`
	Version   string    `json:"version"`
	Devices   int64     `json:"devices"`
	Free      int64     `json:"free"`
	Probe     Probe     `json:"probe"`
	Origin
}

// Probe is what came of dialling a rig. Reached counts the days of uptime.
type Probe struct {
	At      rest.Time `json:"at,omitzero"`         // of the last attempt; absent: there was none
	Reached rest.Time `json:"reached_at,omitzero"` // of the last answer
	RTT     int64     `json:"rtt_us,omitempty"`
}

// Providers are all that were ever heard, by peer id.
type Providers struct {
	Schema    string     `json:"schema"`
	Providers []Provider `json:"providers"`
	Cursor    string     `json:"cursor,omitempty"`
}

// ProviderPage is one provider: what it sells, and of the last 90 days how often it answered.
type ProviderPage struct {
	Schema string `json:"schema"`
	Provider
	Offers []Offer `json:"offers"`
	Uptime []Day   `json:"uptime"`
	Ends   []End   `json:"ends"` // of its leases whose channel is theirs, the most frequent first
}

// Day is a day of probes, UTC.
type Day struct {
	Day     string `json:"day" format:"date"`
	Probes  int64  `json:"probes"`
	Reached int64  `json:"reached"`
}

// RawOffer is the Offer as it was signed, base64, without addresses of machines: its signature holds all the same. To
// check it: `gpuai` verifies what it hears in the same way.
type RawOffer struct {
	Schema   string `json:"schema"`
	Peer     string `json:"peer"`
	Seq      int64  `json:"seq"`
	Envelope []byte `json:"envelope"`
	Origin
}

// Network is who is there, by version and by country; a country only where it has three rigs.
type Network struct {
	Schema    string         `json:"schema"`
	Network   string         `json:"network"`
	Versions  []VersionCount `json:"versions"` // the 50 that most rigs have
	Countries []CountryCount `json:"countries"`
	Elsewhere Count          `json:"elsewhere"` // in countries of fewer than three rigs, or in none that is said
	RTT       *Micros        `json:"rtt,omitempty"`
	Gossip    *Gossip        `json:"gossip,omitempty"` // absent: no Offer came within 24 hours
	Refused   Count          `json:"refused"`          // figures and documents that were left out: absurd, or too many
	Compared  []Compared     `json:"compared"`         // this index with those of others, hourly
}

// Compared is what came of comparing this index with another: instructions up to the newest checkpoint in common,
// channels, leases, and the rigs on sale. It agrees if nothing differs, of rigs at most one in a hundred.
type Compared struct {
	With   string      `json:"with"`
	At     rest.Time   `json:"at"`
	Agrees bool        `json:"agrees"`
	Failed market.Code `json:"failed,omitempty"` // why it was not compared
	Offers int64       `json:"offers_common"`    // rigs whose newest Offer is the same
	Differ int64       `json:"offers_differ"`
	First  string      `json:"first_difference,omitempty"`
}

// VersionCount counts the rigs of one version of the program.
type VersionCount struct {
	Version string `json:"version"`
	Rigs    Count  `json:"rigs"`
}

// CountryCount counts the rigs of one country, ISO 3166.
type CountryCount struct {
	Country string `json:"country"`
	Rigs    Count  `json:"rigs"`
}

// Micros is a time in µs, a mean.
type Micros struct {
	Value int64 `json:"value_us"`
	Origin
}

// Found are the things whose name begins with what was asked, a few of each kind.
type Found struct {
	Schema string `json:"schema"`
	Found  []Hit  `json:"found"`
}

// Hit is one of them; Path is where it stands below the base of this API.
type Hit struct {
	Kind string `json:"kind" enum:"model,provider,lease,channel,wallet,transaction"`
	ID   string `json:"id"`
	Path string `json:"path"`
}

// Definitions say what the words of the figures mean, and how anybody checks one.
type Definitions struct {
	Schema      string       `json:"schema"`
	Definitions []Definition `json:"definitions"`
}

// Definition is one word.
type Definition struct {
	Name  string    `json:"name"`
	Means string    `json:"means"`
	Src   db.Source `json:"src" enum:"chain,gossip,probe,signed"`
	Check string    `json:"check"` // a command line that re-checks it
}

// asset is a mint that money is shown in. Symbols come from this list only, never from peers.
type asset struct {
	mint, symbol string
	decimals     int
}

// assets are those of the program's network. The first is what offers are listed in if nobody asks for another.
var assets = []asset{{SOLMint, "SOL", 9}}

// SOLMint is how SOL is named where a mint is.
const SOLMint = db.SOLMint

// money of a mint; false: the mint is none of the list.
func money(mint string, amount string) (api.Money, bool) {
	for _, a := range assets {
		if a.mint == mint {
			return api.Money{Amount: amount, Mint: a.mint, Decimals: a.decimals, Symbol: a.symbol}, true
		}
	}
	return api.Money{}, false
}

// moneyOf is an amount of any mint; one without a name here has no symbol.
func moneyOf(mint string, v int64) api.Money {
	m, ok := money(mint, strconv.FormatInt(v, 10))
	if !ok {
		m = api.Money{Amount: strconv.FormatInt(v, 10), Mint: mint}
	}
	return m
}

// rate of a mint, per device and hour.
func rate(mint string, v int64) api.Money {
	m, ok := money(mint, strconv.FormatInt(v, 10))
	if ok {
		m.Per = "hour"
	}
	return m
}

// lastTime is the end of the year 9999: what comes after it is no time in JSON.
const lastTime = 253_402_300_799_999

// at is a moment in ms, none where it is not known or absurd: peers say theirs.
func at(ms int64) rest.Time {
	if ms <= 0 || ms > lastTime {
		return rest.Time{}
	}
	return rest.At(time.UnixMilli(ms))
}

// Channel is an account of the escrow program at finality. Its amounts are of one mint.
type Channel struct {
	Channel string `json:"channel"`
	// gone: its account is closed, amounts are its last
	Status     string    `json:"status" enum:"open,closing,sealed,gone"`
	Payer      string    `json:"payer"`
	Payee      string    `json:"payee"`
	Deposit    api.Money `json:"deposit"`
	Settled    api.Money `json:"settled"`  // what is the payee's
	Paid       api.Money `json:"paid"`     // of it, what the payee has got
	Refunded   api.Money `json:"refunded"` // what the payer has got back
	Storage    api.Money `json:"storage"`  // SOL that the account holds beside its deposit; the payer gets it back
	OpenedAt   rest.Time `json:"opened_at,omitzero"`
	Deadline   rest.Time `json:"deadline,omitzero"` // of a closing one: anybody may seal it then
	CloseDelay int64     `json:"close_delay_s"`
	MovedAt    rest.Time `json:"moved_at,omitzero"` // of its newest instruction
	Origin
}

// Channels of a wallet, and on each page the sums of all of them.
type Channels struct {
	Schema   string      `json:"schema"`
	Wallet   string      `json:"wallet"`
	Sums     []WalletSum `json:"sums"`
	Channels []Channel   `json:"channels"`
	Cursor   string      `json:"cursor,omitempty"`
}

// ChannelPage is one channel and what came to it, oldest first; the cursor leads on through its instructions.
type ChannelPage struct {
	Schema string `json:"schema"`
	Channel
	Instructions []Instruction `json:"instructions"`
	Cursor       string        `json:"cursor,omitempty"`
}

// Instruction is one of the escrow program. Outer is its place in the transaction, inner its place in the call of
// another program, -1: it is in none. failed: its transaction failed, and it settled nothing. not read: of an unknown
// form.
type Instruction struct {
	Signature string    `json:"signature"`
	Outer     int64     `json:"outer"`
	Inner     int64     `json:"inner"`
	Slot      int64     `json:"slot"`
	At        rest.Time `json:"at"`
	Result    string    `json:"result" enum:"ok,failed,not read"`
	Name      string    `json:"name,omitempty"`
	Authority string    `json:"authority,omitempty"`
	Deposit   api.Money `json:"deposit,omitzero"` // of open and top_up: all that is locked afterwards
	Settled   api.Money `json:"settled,omitzero"` // of claim, record and release: all that is the payee's afterwards
}

// Escrow is what the program holds. A sum of many amounts may be over 64 bits.
type Escrow struct {
	Schema   string        `json:"schema"`
	Program  string        `json:"program"`
	Hash     string        `json:"hash"` // SHA-256 of the program that this version was built with
	Deployed *Deployed     `json:"deployed,omitempty"`
	Locked   []EscrowSum   `json:"locked"`
	Channels []StatusCount `json:"channels"`
}

// Deployed is the program as it lies on the ledger. Same: it is the one that this version was built with. Authority
// may change it; absent: nobody can.
type Deployed struct {
	Hash      string `json:"hash"`
	Same      bool   `json:"same"`
	Authority string `json:"authority,omitempty"`
	Origin
}

// EscrowSum sums the channels of a mint that are not gone; n counts them.
type EscrowSum struct {
	Value api.Money `json:"value"` // deposits, less what was paid and refunded
	Origin
}

// StatusCount counts the channels of one status.
type StatusCount struct {
	Status   string `json:"status" enum:"open,closing,sealed,gone"`
	Channels Count  `json:"channels"`
}

// Digest is made at each slot that divides by every, once a later instruction was read. Two indexers that have read the
// same chain have the same one; n counts instructions.
type Digest struct {
	Schema string       `json:"schema"`
	Every  int64        `json:"every"` // slots
	Parts  []DigestPart `json:"parts"`
	Origin
}

// DigestPart is the SHA-256 over the instructions whose signature's SHA-256 begins with this byte, by signature and
// place: signature, outer, inner, slot, unix ms, result, name, channel, authority and amount, with tabs between and a
// line's end behind each.
type DigestPart struct {
	Part int64  `json:"part"`
	N    int64  `json:"n"`
	Hash string `json:"sha256"`
}

// DigestRows are instructions as a digest takes them. A page may be empty and lead on all the same.
type DigestRows struct {
	Schema string      `json:"schema"`
	Rows   []DigestRow `json:"rows"`
	Cursor string      `json:"cursor,omitempty"`
}

// DigestRow is one of them; its fields are the columns of the digest, in order. The amount is in the mint's smallest
// unit.
type DigestRow struct {
	Signature string `json:"signature"`
	Outer     int64  `json:"outer"`
	Inner     int64  `json:"inner"`
	Slot      int64  `json:"slot"`
	At        int64  `json:"at_ms"`
	Result    string `json:"result"`
	Name      string `json:"name"`
	Channel   string `json:"channel"`
	Authority string `json:"authority"`
	Amount    string `json:"amount"`
}
