package api

import "github.com/gpuai/gpuai/market"

// Candidate is an offer that fits; Rejection one that does not.
type Candidate struct {
	Provider string `json:"provider"`
	Class    string `json:"class"`
	Rate     Money  `json:"rate"`
	Total    Money  `json:"total"` // for max_duration, all devices
	// reached over a relay only: its files are bounded, each way by files_max bytes
	Relayed  bool   `json:"relayed,omitempty"`
	FilesMax uint64 `json:"files_max,omitempty"`
}

// Rejection says why an offer does not fit.
type Rejection struct {
	Provider string `json:"provider"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
}

// Plan is what an order would do.
type Plan struct {
	Schema     string      `json:"schema"`
	Image      string      `json:"image"` // pinned
	ImageBytes uint64      `json:"image_bytes"`
	Candidates []Candidate `json:"candidates"`
	Rejections []Rejection `json:"rejections"`
	PlanTerms
	PlanFees
	PlanWallet
	// why it is not feasible: no-offer-fits, needs-direct, funds-short, cap-too-small
	Code     market.Code `json:"code,omitempty"`
	Detail   string      `json:"detail,omitempty"`
	AwayMS   int64       `json:"away_ms"`
	Feasible bool        `json:"feasible"`
	// the candidates fit, but all are rented now: an order waits for one
	Rented      bool         `json:"rented,omitempty"`
	Request     OrderRequest `json:"request"`
	NearestHint string       `json:"hint,omitempty"`
}

// PlanTerms is what the order would buy: how long it runs, and what is signed ahead for it.
type PlanTerms struct {
	Deposit  Money `json:"deposit"` // 0 where an open channel carries the order
	MaxTotal Money `json:"max_total"`
	// how long the job runs by cap and longest time before it is told to stop
	RunsMS int64 `json:"runs_ms,omitempty"`
	// inside them: what then remains for it to end by itself
	GraceMS int64 `json:"stop_grace_ms,omitempty"`
	// the most that is signed ahead, once two minutes are paid to the rig
	AtRisk Money `json:"at_risk"`
	// how long the job works on for it while this computer sleeps
	AsleepMS int64 `json:"asleep_runs_ms,omitempty"`
	// how long it is then paused before it is ended; absent: the rig has not said
	HoldMS int64 `json:"hold_ms,omitempty"`
}

// PlanFees is what it costs beside the rate.
type PlanFees struct {
	// for the channel's account if one must be opened, comes back; absent: the ledger does not answer
	Storage *Money `json:"storage_deposit,omitempty"`
	Fees    Money  `json:"fees"` // network_fees and claim_fee
	// of opening, finishing and clearing the channel, at most
	NetworkFees Money `json:"network_fees,omitzero"`
	ClaimFee    Money `json:"claim_fee,omitzero"` // to the rig, for its own transactions
	// the rig has said its terms; else they are the usual ones
	Quoted bool `json:"quoted"`
}

// PlanWallet is what the wallet must hold for it, and holds.
type PlanWallet struct {
	Minimum   Money `json:"wallet_minimum,omitzero"` // must stay in the wallet
	UnderWay  Money `json:"under_way,omitzero"`      // what other transactions of the wallet still take
	Needed    Money `json:"needed,omitzero"`         // all of it: what the wallet must hold
	Available Money `json:"available,omitzero"`      // what it holds
	Missing   Money `json:"missing,omitzero"`        // what it lacks; absent: nothing
}
