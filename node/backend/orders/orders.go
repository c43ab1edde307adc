// Package orders is the API's side of what a customer places: offers, plans, orders and their files.
//
// Invariants: it keeps nothing; what is shown is what the role says. Concurrency: all methods are safe for any
// goroutine. Persistence: the spool's inputs, whole or not at all. Next: doc.go, plan.go.
package orders

import (
	"context"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/shelf"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/runtime/image"
)

// Desk is api.Orders. Early tells whether the roles are not there yet. Needs says what an intent would take from the
// wallet, ok is false without one; Hint is how a wallet gets what it lacks on this network, "" without one.
type Desk struct {
	Role   func() (*customer.Customer, error)
	Early  func() bool
	Images *image.Resolver
	Wanted func() []offers.HeldWant // that are alive
	Needs  func(context.Context, escrow.Intent) (n escrow.Needs, ok bool)
	Hint   func(missing market.Amount) string
}

var _ api.Orders = (*Desk)(nil)

// mebibytes as bytes, at most what a JavaScript number holds: peers may state anything.
func mebibytes(n uint64) uint64 { return min(n, 1<<33-1) << 20 }

// CreateOrder implements api.Orders.
func (d *Desk) CreateOrder(ctx context.Context, r api.OrderRequest) (api.Order, error) {
	c, err := d.Role()
	if err != nil {
		return api.Order{}, err
	}
	id := customer.OrderIDOf(c.ID(), r.Key)
	if v, err := c.Order(id.String()); err == nil {
		return d.Doc(v), nil // the same key is the same order
	}
	req, err := d.request(ctx, r)
	if err != nil {
		return api.Order{}, err
	}
	if req.HasInputs() {
		if _, err := c.Await(ctx, req); err != nil {
			return api.Order{}, err
		}
		return d.Order(ctx, id.String())
	}
	if _, err := c.Place(ctx, req); err != nil {
		return api.Order{}, err
	}
	return d.Order(ctx, id.String())
}

// Orders implements api.Orders.
func (d *Desk) Orders(_ context.Context, q api.OrderQuery) ([]api.Order, error) {
	if d.Early() {
		return []api.Order{}, nil // none was ever placed
	}
	c, err := d.Role()
	if err != nil {
		return nil, err
	}
	out, known := []api.Order{}, map[market.OrderID]bool{}
	for _, v := range c.Orders() {
		if q.All || !Over(v) {
			out = append(out, d.Doc(v))
			known[v.ID] = true
		}
	}
	if !q.All {
		return out, nil
	}
	past, err := pastOf(c, q)
	for _, v := range past {
		if !known[v.ID] { // else it left just now
			out = append(out, d.Doc(v))
		}
	}
	return out, err
}

// pastOf are the orders of a query that have left memory.
func pastOf(c *customer.Customer, q api.OrderQuery) (out []customer.View, err error) {
	var place []byte
	if id, err := market.ParseOrderID(q.After); err == nil {
		place = shelf.KeyOf(q.At, id)
	}
	label, most := "", max(q.Newest, q.Limit)
	if len(q.Labels) > 0 {
		label = q.Labels[0]
	}
	for more := true; more && (most == 0 || len(out) < most); {
		n := rest.MaxLimit
		if most > 0 {
			n = min(n, most-len(out))
		}
		list, next, err := c.Past(q.Name, label, place, n, q.Newest > 0)
		if err != nil {
			return nil, err
		}
		for _, v := range list {
			if !slices.ContainsFunc(q.Labels, func(l string) bool { return !hasLabel(v, l) }) {
				out = append(out, v)
			}
		}
		place, more = next, next != nil
	}
	return out, nil
}

// hasLabel reports whether an order has a label, as NAME=VALUE.
func hasLabel(v customer.View, label string) bool {
	name, value, _ := strings.Cut(label, "=")
	got, ok := v.Request.File.Labels[name]
	return ok && got == value
}

// Order implements api.Orders.
func (d *Desk) Order(_ context.Context, id string) (api.Order, error) {
	c, err := d.Role()
	if err != nil {
		return api.Order{}, err
	}
	v, err := c.Order(id)
	if err != nil {
		return api.Order{}, err
	}
	return d.Doc(v), nil
}

// RaiseCap implements api.Orders.
func (d *Desk) RaiseCap(ctx context.Context, id string, amount market.Amount) (api.Order, error) {
	c, err := d.Role()
	if err != nil {
		return api.Order{}, err
	}
	if err := c.RaiseCap(ctx, id, amount); err != nil {
		return api.Order{}, err
	}
	return d.Order(ctx, id)
}

// StopOrder implements api.Orders.
func (d *Desk) StopOrder(ctx context.Context, id string, now bool) error {
	c, err := d.Role()
	if err != nil {
		return err
	}
	return c.StopOrder(ctx, id, now)
}

// request is the API's document as the role takes it, its image pinned by the registry. Errors: bad-usage, image-….
func (d *Desk) request(ctx context.Context, r api.OrderRequest) (req customer.Request, err error) {
	req = customer.Request{Key: r.Key, File: r.Job, InputBytes: r.InputBytes, KeepChannel: r.KeepChannel}
	if req.Image, err = d.Images.Resolve(ctx, r.Job.Image); err != nil {
		return req, err
	}
	return req, req.Validate()
}
