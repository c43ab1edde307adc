package api

import "github.com/gpuai/gpuai/node/rest"

// Want is what a customer's order waits for, as the market knows it: the other side of an Offer.
type Want struct {
	Schema   string `json:"schema"`
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Mine     bool   `json:"mine"` // an order of this node waits for it
	// any of them
	Classes []string `json:"classes"`
	Devices int      `json:"devices"`
	MaxRate Money    `json:"max_rate,omitzero"` // per device; absent: any
	// absent: it is not said
	MaxDurationMS int64 `json:"max_duration_ms,omitempty"`
	// what else a rig must have, as --where reads it
	Terms     []string  `json:"terms"`
	IssuedAt  rest.Time `json:"issued_at"`
	ExpiresAt rest.Time `json:"expires_at"` // unless it is renewed
	// it names an address at which rigs can answer
	Reachable bool     `json:"reachable"`
	Rig       *WantRig `json:"rig,omitempty"` // absent: this node sells nothing
}

// WantRig is what this node's own rig can say to a Want.
type WantRig struct {
	Serves bool  `json:"serves"`
	Rate   Money `json:"rate,omitzero"` // what it asks, of the class that is wanted
	// why it does not serve it: class, free, term, mint, rate, max_time
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
}
