package customer

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Request is what a user asks for, already parsed: one Order and its job. Key is the idempotency key: the same Key is
// the same Order.
type Request struct {
	Key          string
	Name         string
	Image        spec.ImageRef
	Spec         spec.Spec
	Terms        []market.Term
	Classes      []string // any of; empty = any class
	Devices      int
	CPUMilli     uint32
	RAM          uint64
	Disk         uint64
	Shm          uint64
	Egress       uint8
	InputBytes   uint64
	HasInputs    bool
	MaxRate      market.Rate
	MaxTotal     market.Amount
	MaxDuration  time.Duration
	StartTimeout time.Duration
	StopGrace    time.Duration
	Away         time.Duration // 0 = off
	KeepChannel  bool
	Providers    []market.NodeID // only these; empty = any
	Exclude      []market.NodeID
	OutputTo     []string `json:",omitempty"` // where outputs come home, by their order; nothing here depends on it
}

// Validate joins the faults of a request. Errors: *market.Error bad-usage.
func (r *Request) Validate() error {
	bad := func(format string, a ...any) error {
		return &market.Error{Code: "bad-usage", Kind: market.KindInvalid, Op: "check order",
			Detail: fmt.Sprintf(format, a...), Hint: "gpuai run --help"}
	}
	switch {
	case r.Key == "":
		return bad("an idempotency key is needed")
	case r.Devices < 1 || r.Devices > market.MaxDevices:
		return bad("devices must be 1 to %d", market.MaxDevices)
	case r.MaxTotal == 0:
		return bad("--max-total must say what this order may cost at most, e.g. --max-total 0.02")
	case r.MaxDuration < time.Minute || r.MaxDuration > 30*24*time.Hour:
		return bad("--max-duration must be 1m to 30d")
	case r.Image.Manifest == "":
		return bad("an image is needed")
	case r.StopGrace < 0 || r.StopGrace > 5*time.Minute:
		return bad("stop grace must be 0 to 300s")
	case r.StartTimeout < 0 || r.StartTimeout > 24*time.Hour:
		return bad("start timeout must be 0 to 24h")
	case r.Away < 0 || r.Away > market.MaxAway:
		return bad("away must be 0 to 24h")
	}
	return nil
}

// OrderIDOf derives the Order's nonce from the idempotency key, so a repeat is the same Order.
func OrderIDOf(node market.NodeID, key string) (id market.OrderID) {
	h := sha256.Sum256(append(append([]byte("gpuai/order/1\x00"), node[:]...), key...))
	copy(id[:], h[:])
	return id
}

// promised is the room that the order asks for its inputs, in bytes. Empty files and folders are inputs too: zero would
// say that there are none.
func (r *Request) promised() uint64 {
	if r.HasInputs {
		return max(r.InputBytes, 1)
	}
	return r.InputBytes
}

// makeOrder makes the Order document of one placement attempt.
func (c *Customer) makeOrder(r *Request, now time.Time) market.Order {
	terms := append([]market.Term(nil), r.Terms...)
	if len(r.Classes) > 0 {
		terms = append(terms, market.Term{Classes: r.Classes})
	}
	return market.Order{
		Nonce: OrderIDOf(c.cfg.ID, r.Key), Customer: c.cfg.ID, Payer: c.cfg.Payer, ClusterTag: c.cfg.ClusterTag,
		Created: now.Truncate(time.Millisecond), ValidUntil: now.Add(time.Minute).Truncate(time.Millisecond),
		Kind: market.KindBatch, Constraints: terms, Devices: r.Devices,
		Image: imageName(r.Image), ImageBytes: r.Image.CompressedBytes, InputBytes: r.promised(),
		Platform: r.Image.Platform,
		CPUMilli: r.CPUMilli, RAM: r.RAM, Disk: r.Disk, Shm: r.Shm, Egress: r.Egress,
		MaxRate: r.MaxRate, Budget: r.MaxTotal, MaxDuration: r.MaxDuration,
		StartTimeout: r.StartTimeout, StopGrace: r.StopGrace,
	}
}
