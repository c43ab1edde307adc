package customer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/customer/purse"
)

// keepIdle is how long a channel that was asked to be kept waits for its next job.
const keepIdle = 24 * time.Hour

// buyers are the orders as the purse knows them: who needs its channels, and who is told what became of them.
type buyers struct{ c *Customer }

var _ purse.Orders = buyers{}

// any reports whether an order is as f says, which is called under that order's lock.
func (b buyers) any(f func(*orderRun) bool) bool {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for _, r := range b.c.runs {
		r.mu.Lock()
		is := f(r)
		r.mu.Unlock()
		if is {
			return true
		}
	}
	return false
}

// Needs implements purse.Orders. Who has left a channel leaves it to those that wait until its provider has a device.
func (b buyers) Needs(id market.ChannelID, provider market.NodeID, left bool) bool {
	return b.any(func(r *orderRun) bool {
		if !left {
			return r.needs(id, provider)
		}
		why, _ := r.place.refused(provider)
		return why != nil && searches(&r.row) && waitsFor(why) == patience
	})
}

// needs is Needs for one order. Caller holds r.mu.
func (r *orderRun) needs(id market.ChannelID, provider market.NodeID) bool {
	o := &r.row
	switch {
	case o.Needs(id, provider):
		return true
	case searches(o):
		why, some := r.place.refused(provider)
		return why != nil || !some // it waits for this one, or has not asked anybody yet
	case o.Channel != id:
		return false
	case !o.Request.KeepChannel && (o.Lease == nil || !o.Lease.KeepChannel):
		return false
	}
	last := o.Created
	if n := len(o.Steps); n > 0 {
		last = o.Steps[n-1].At
	}
	return r.c.now().Sub(last) < r.c.cfg.KeepIdle
}

// searches reports an order that has chosen no provider yet.
func searches(o *orderRow) bool {
	return o.Stage == market.StageSearching || o.Stage == market.StageQuoting
}

// Hourly implements purse.Orders.
func (b buyers) Hourly(id market.ChannelID) (sum market.Amount) {
	b.any(func(r *orderRun) bool {
		if m := r.row.Lease; r.row.Channel == id && m != nil && (m.State.Live() || m.State == market.Silent) {
			if h, err := m.Terms.Rate.For(m.Terms.Devices, time.Hour); err == nil {
				sum += h
			}
		}
		return false
	})
	return sum
}

// Follows implements purse.Orders.
func (b buyers) Follows(lease market.LeaseID) bool {
	return b.any(func(r *orderRun) bool {
		p := &r.row.Purchase
		return p.Lease == lease && (p.Stage == market.StageLeased || p.Lingers)
	})
}

// Funds implements purse.Orders.
func (b buyers) Funds(ctx context.Context, id market.ChannelID, a escrow.Account) {
	var live []*orderRun
	b.any(func(r *orderRun) bool {
		if r.row.Channel == id && r.row.Lease != nil && r.row.Lease.State.Live() && r.hire.at() != nil {
			live = append(live, r)
		}
		return false
	})
	for _, r := range live {
		o := r.snapshot()
		if o.Lease == nil {
			continue
		}
		others := a.PaidSum() - a.Leases[o.Lease.ID].Paid
		r.hire.event(ctx, market.FundsSeen{LeaseMax: a.Seen - min(others, a.Seen)})
	}
}

// user is an order's attempt whose money is in a channel; home: it was settled before.
type user struct {
	run   *orderRun
	lease market.LeaseID
	owed  market.Amount
	home  bool
}

// users are the attempts that have used a channel, in the order in which their orders were placed.
func (b buyers) users(id market.ChannelID) (out []user) {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	for _, order := range b.c.order {
		r := b.c.runs[order]
		r.mu.Lock()
		for _, a := range r.row.Lost {
			if a.Channel == id {
				out = append(out, user{r, a.Lease, a.Owed, a.Home})
			}
		}
		if p := &r.row.Purchase; p.Channel == id {
			u := user{r, p.Lease, 0, p.Home}
			if m := r.row.Lease; m != nil {
				u.owed = acknowledged(*m)
			}
			out = append(out, u)
		}
		r.mu.Unlock()
	}
	return out
}

// Settled implements purse.Orders: each order that used the channel gets its own share of what was paid, the newest
// what came back.
func (b buyers) Settled(ctx context.Context, s purse.Settlement) {
	users, paid := b.users(s.Channel), s.Paid
	for i, u := range users {
		ev := market.Settled{Channel: s.Channel, Lease: u.lease, Paid: paid, Tx: s.Tx}
		if i < len(users)-1 {
			ev.Paid = min(u.owed, paid) // what was only signed ahead is not paid
		} else {
			ev.Returned = s.Returned
		}
		paid -= ev.Paid
		if u.home {
			continue
		}
		detail := fmt.Sprintf("paid %s SOL", ev.Paid.SOL())
		if s.Owes > 0 && ev.Paid > 0 {
			detail = fmt.Sprintf("owed %s SOL, which wait in the channel until the provider's account can be created",
				ev.Paid.SOL())
		}
		if i == len(users)-1 {
			detail += fmt.Sprintf(", returned %s SOL", s.Returned.SOL())
		}
		u.run.happens(ctx, ev, func(o *orderRow) {
			if homeOf(&o.Purchase, s.Channel, u.lease) {
				o.Steps = append(o.Steps, Step{At: b.c.now(), Phase: "refund", Detail: detail})
			}
		})
	}
}

// homeOf reports that an attempt's channel is settled.
func homeOf(p *market.Purchase, id market.ChannelID, lease market.LeaseID) bool {
	for _, a := range p.Lost {
		if a.Channel == id && a.Lease == lease {
			return a.Home
		}
	}
	return p.Channel == id && p.Lease == lease && p.Home
}

// Release implements purse.Orders.
func (b buyers) Release(ctx context.Context, provider market.NodeID, id market.ChannelID) (rel [114]byte, err error) {
	conn := b.c.sessions.with(provider).live() // a second session would end the one that pays other jobs there
	if conn == nil {
		if conn, err = b.c.net.Vouchers(ctx, provider); err != nil {
			return rel, err
		}
		defer conn.Close()
	}
	return conn.ReleaseRequest(ctx, id)
}

// bringHome watches the order's channel until its money is back. The order may end without it: it comes back by itself.
func (r *orderRun) bringHome(ctx context.Context, e market.BringHome) {
	err := r.c.Bring(ctx, e.Channel)
	if ctx.Err() != nil {
		return
	}
	why := ""
	switch {
	case err == nil:
	case errors.Is(err, purse.ErrShared):
		why = "another order uses the channel, its last one brings the refund"
	case market.CodeOf(err) == market.CodeLeaseLive:
		why = "another job uses the channel, its last one brings the refund"
	default:
		r.c.log.Warn("Channel was not closed", "channel", e.Channel, "error", err)
		why = err.Error()
	}
	r.happens(ctx, market.RefundWaits(e), func(o *orderRow) { // if it is not settled
		if why != "" {
			o.Steps = append(o.Steps, Step{At: r.c.now(), Phase: "refund", Detail: why})
		}
	})
}
