package network

import (
	"context"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/provider/reply"
	"github.com/gpuai/gpuai/node/rest"
)

// Wants implements api.Network.
func (l Links) Wants(context.Context) ([]api.Want, error) {
	self, now := l.Host.ID(), time.Now()
	own, _, err := l.Heard.Newest(self)
	sells := err == nil
	out := []api.Want{}
	for _, w := range l.Heard.Wants() {
		doc := api.Want{
			Schema: "gpuai.want/v1", ID: w.ID.String(), Customer: w.Customer.String(), Mine: w.Customer == self,
			Classes: w.Classes, Devices: w.Devices, MaxDurationMS: w.MaxDuration.Milliseconds(), Terms: []string{},
			IssuedAt: rest.At(w.Issued()), ExpiresAt: rest.At(w.Expires()), Reachable: len(w.Reach) > 0,
		}
		if w.MaxRate > 0 {
			doc.MaxRate = api.RateSOL(w.MaxRate)
		}
		for _, t := range w.Terms {
			doc.Terms = append(doc.Terms, t.String())
		}
		if sells && !doc.Mine {
			doc.Rig = rigFor(own, w.Want, now)
		}
		out = append(out, doc)
	}
	return out, nil
}

// rigFor is what the own rig can say to a Want.
func rigFor(own market.Offer, w market.Want, now time.Time) *api.WantRig {
	rate, ok, why := reply.Fits(own, w, now)
	if ok {
		return &api.WantRig{Serves: true, Rate: api.RateSOL(rate)}
	}
	r := &api.WantRig{Reason: why.Reason, Detail: why.Text}
	any := w
	any.MaxRate = 0
	if asks, ok, _ := reply.Fits(own, any, now); ok {
		r.Rate = api.RateSOL(asks)
		r.Detail = fmt.Sprintf("you ask %s SOL/h, it pays at most %s", market.Amount(asks).SOL(),
			market.Amount(w.MaxRate).SOL())
	} else if _, ok, _ := book.Serves(own, book.QueryOfWant(w, true), now); ok {
		r.Detail = "it would, with more devices free"
	}
	return r
}
