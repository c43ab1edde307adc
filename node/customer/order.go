package customer

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Request is what a user asks for: a job, complete and checked, its image as the registry pinned it, and what is said
// of the order alone. Key is the idempotency key: the same Key is the same Order. As JSON it is part of the order's
// row.
type Request struct {
	Key         string        `json:"Key"`
	File        spec.File     `json:"File"`
	Image       spec.ImageRef `json:"Image"`
	InputBytes  uint64        `json:"InputBytes"`
	KeepChannel bool          `json:"KeepChannel"`
}

// Validate joins the faults of a request. Errors: *market.Error bad-usage.
func (r *Request) Validate() error {
	bad := func(format string, a ...any) error {
		return &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "check order",
			Detail: fmt.Sprintf(format, a...), Hint: "gpuai run --help"}
	}
	l := r.File.Limits
	switch {
	case r.Key == "":
		return bad("an idempotency key is needed")
	case r.File.Devices() > market.MaxDevices:
		return bad("devices must be 1 to %d", market.MaxDevices)
	case l.MaxTotal == 0:
		return bad("--max-total must say what this order may cost at most, e.g. --max-total 0.02")
	case l.MaxDuration < time.Minute || l.MaxDuration > 30*24*time.Hour:
		return bad("--max-duration must be 1m to 30d")
	case r.Image.Manifest == "":
		return bad("an image is needed")
	case r.File.StopGrace < 0 || r.File.StopGrace > 5*time.Minute:
		return bad("stop grace must be 0 to 300s")
	case l.StartTimeout < 0 || l.StartTimeout > 24*time.Hour:
		return bad("start timeout must be 0 to 24h")
	case l.Away < 0 || l.Away > market.MaxAway:
		return bad("away must be 0 to 24h")
	}
	return nil
}

// HasInputs reports whether the order waits for files.
func (r *Request) HasInputs() bool { return len(r.File.Inputs) > 0 }

// OrderIDOf derives the Order's nonce from the idempotency key, so a repeat is the same Order.
func OrderIDOf(node market.NodeID, key string) (id market.OrderID) {
	h := sha256.Sum256(append(append([]byte("gpuai/order/1\x00"), node[:]...), key...))
	copy(id[:], h[:])
	return id
}

// promised is the room that the order asks for its inputs, in bytes. Empty files and folders are inputs too: zero would
// say that there are none.
func (r *Request) promised() uint64 {
	if r.HasInputs() {
		return max(r.InputBytes, 1)
	}
	return r.InputBytes
}

// makeOrder makes the Order document of one placement attempt.
func (c *Config) makeOrder(r *Request, now time.Time) market.Order {
	o := r.File.Order()
	o.Nonce, o.Customer, o.Payer, o.ClusterTag = OrderIDOf(c.ID, r.Key), c.ID, c.Payer, c.ClusterTag
	o.Created, o.ValidUntil = now.Truncate(time.Millisecond), now.Add(time.Minute).Truncate(time.Millisecond)
	o.Image, o.ImageBytes, o.Platform = imageName(r.Image), r.Image.CompressedBytes, r.Image.Platform
	o.InputBytes = r.promised()
	return o
}

// leaseCap is what one lease may cost at most: the order's budget, or the rate for its longest time.
func leaseCap(r *Request, o *offered) market.Amount {
	whole, err := o.quote.Rate.For(len(o.quote.Devices), r.File.Limits.MaxDuration)
	if err != nil {
		return r.File.Limits.MaxTotal
	}
	return min(r.File.Limits.MaxTotal, whole)
}

// wantOf is what an order wants to be paid for by a quote.
func wantOf(id market.OrderID, r *Request, o *offered) purse.Want {
	return purse.Want{Order: id, Provider: o.provider, Quote: o.quote, Limit: leaseCap(r, o)}
}
