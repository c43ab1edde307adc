package orders

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/rest"
)

// Offers implements api.Orders: one row per device group.
func (d *Desk) Offers(ctx context.Context, by market.Sort) ([]api.Offer, error) {
	c, err := d.Role()
	if err != nil {
		return nil, err
	}
	c.Book.AwaitOffers(ctx)
	out := []api.Offer{}
	for _, r := range c.Book.List(ctx, by) {
		out = append(out, offerOf(&r))
	}
	return out, nil
}

func offerOf(r *customer.Listed) api.Offer {
	o, g := r.Offer, r.Offer.Groups[r.Group]
	row := api.Offer{
		Schema: "gpuai.offer/v1", Provider: o.Provider.String(), Class: g.Class, Devices: len(g.Devices),
		Free: r.Free, CPUMilli: uint32(min(o.Fields[market.FieldCPU], 1<<32-1)),
		RAMBytes: mebibytes(o.Fields[market.FieldRAM]), DiskBytes: mebibytes(o.Fields[market.FieldDisk]),
		Egress: uint8(o.Fields[market.FieldEgress]), Tick: int64(o.Fields[market.FieldTickMin]),
		Facts: map[string]string{}, Seen: rest.At(time.UnixMilli(int64(o.Seq))), Place: placeOf(r),
	}
	if r.Rate > 0 {
		row.Rate = api.RateSOL(r.Rate)
	}
	for _, fields := range []market.Fields{o.Fields, g.Fields, r.Local} {
		for id, v := range fields {
			row.Facts[id.String()] = market.FormatValue(id, v)
		}
	}
	if ms, known := r.Local[market.FieldRTT]; known {
		rtt := int64(ms)
		row.RTTms = &rtt
	}
	if r.Known {
		row.Orders = &api.Experience{Orders: r.Experience.Orders, Failed: r.Failed, NotStarted: r.NotStarted}
	}
	return row
}

// placeOf sorts as the list does, and names the row.
func placeOf(r *customer.Listed) string {
	var b strings.Builder
	for _, x := range r.Rank {
		fmt.Fprintf(&b, "%016x", x)
	}
	fmt.Fprintf(&b, " %s %d", r.Offer.Provider, r.Group)
	return b.String()
}

// Depth implements api.Orders.
func (d *Desk) Depth(ctx context.Context, class string) (api.Depth, error) {
	c, err := d.Role()
	if err != nil {
		return api.Depth{}, err
	}
	c.Book.AwaitOffers(ctx)
	levels, classes := c.Book.Depth(class)
	out := api.Depth{Schema: "gpuai.depth/v1", Class: class, Levels: []api.DepthLevel{}, Bids: []api.DepthBid{}}
	for _, l := range levels {
		out.Levels = append(out.Levels, api.DepthLevel{Rate: api.RateSOL(l.Rate), Rigs: l.Rigs, Free: l.Free,
			Rented: l.Rented, Up: l.Up})
		if out.Free == 0 && l.Free > 0 {
			out.Ask = api.RateSOL(l.Rate)
		}
		out.Free, out.Rented = out.Free+l.Free, out.Rented+l.Rented
	}
	d.bids(&out)
	if !slices.Contains(classes, class) && len(out.Bids) == 0 {
		return api.Depth{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "look at the book",
			Detail: fmt.Sprintf("nobody offers %.40q", class), Hint: nearClass(class, classes)}
	}
	return out, nil
}

// bids adds what Wants of the class ask for, and the spread to the best ask.
func (d *Desk) bids(out *api.Depth) {
	var wants []market.Want
	for _, w := range d.Wanted() {
		wants = append(wants, w.Want)
	}
	for _, b := range book.Bids(wants, out.Class, market.Address{}) {
		row := api.DepthBid{Wants: b.Wants, Devices: b.Devices, Up: b.Up}
		if b.Rate > 0 {
			row.Rate = api.RateSOL(b.Rate)
		}
		if out.Bid.Amount == "" {
			out.Bid = row.Rate
		}
		out.Bids, out.Wanted = append(out.Bids, row), b.Up
	}
	if ask, bid := out.Ask.Lamports(), out.Bid.Lamports(); ask > bid && bid > 0 {
		out.Spread = api.RateSOL(market.Rate(ask - bid))
	}
}

// nearClass says which classes there are, and the one that was probably meant.
func nearClass(class string, classes []string) string {
	switch near := market.Nearest(class, classes, 3); {
	case len(classes) == 0:
		return "no rig is known: gpuai net check"
	case near != "":
		return "did you mean " + near + "? gpuai book " + near
	}
	return "on offer are: " + strings.Join(classes[:min(len(classes), 20)], ", ")
}
