package api

import (
	"context"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// LeftOut is a file that did not travel. Direction is input or output; Path is the job's, for inputs that the sender
// left out its own.
type LeftOut struct {
	Direction string `json:"direction"`
	Path      string `json:"path"`
	Reason    string `json:"reason"`
}

// Output is a path of the job that comes home. To is where, on the machine that asked; empty: nothing was said. When is
// success or always; empty: always. LeftOut is why all of it was left out: it is wanted of a successful job alone.
type Output struct {
	Path    string `json:"path"`
	To      string `json:"to,omitempty"`
	When    string `json:"when,omitempty"`
	LeftOut string `json:"left_out,omitempty"`
}

// OrderFiles is what became of an order's files; all of it is absent until it is known.
type OrderFiles struct {
	Outputs          []Output    `json:"outputs,omitempty"`         // declared
	MissingOutputs   []string    `json:"missing_outputs,omitempty"` // declared, but not made by the job
	LeftOut          []LeftOut   `json:"left_out,omitempty"`
	LeftOutMore      int         `json:"left_out_more,omitempty"` // others, not named
	OutputsCode      market.Code `json:"outputs_code,omitempty"`  // why the outputs can never be here
	OutputsDetail    string      `json:"outputs_detail,omitempty"`
	OutputsFetchedAt *rest.Time  `json:"outputs_fetched_at,omitempty"`
	OutputsDroppedAt *rest.Time  `json:"outputs_dropped_at,omitempty"` // given up by the spool
}

// Spool is what the node keeps of orders' files. MaxBytes 0: no bound.
type Spool struct {
	Schema   string       `json:"schema"`
	Bytes    uint64       `json:"bytes"`
	MaxBytes uint64       `json:"max_bytes"`
	KeepMS   int64        `json:"keep_ms"`
	Freed    uint64       `json:"freed_bytes"` // by this request
	Entries  []SpoolEntry `json:"entries"`
}

// SpoolEntry is one order's folder, in bytes. Standing is empty for an order that this node does not know.
type SpoolEntry struct {
	Order     string     `json:"order_id"`
	Name      string     `json:"name,omitempty"`
	Standing  string     `json:"standing,omitempty"`
	Inputs    uint64     `json:"inputs_bytes"`
	Outputs   uint64     `json:"outputs_bytes"`
	Other     uint64     `json:"other_bytes"`
	FetchedAt *rest.Time `json:"fetched_at,omitempty"`
}

// SpoolPrune says what to free: the outputs of these orders, or of all that are over; Unfetched: also those that nobody
// has fetched.
type SpoolPrune struct {
	Orders    []string `json:"orders,omitempty"`
	Unfetched bool     `json:"unfetched,omitempty"`
}

// Spool implements Files.
func (c filesClient) Spool(ctx context.Context) (Spool, error) {
	return call[Spool](ctx, c.link, "GET", "/spool", nil)
}

// PruneSpool implements Files.
func (c filesClient) PruneSpool(ctx context.Context, p SpoolPrune) (Spool, error) {
	return call[Spool](ctx, c.link, "POST", "/spool/prune", p)
}
