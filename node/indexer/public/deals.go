package public

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/price"
	"github.com/gpuai/gpuai/node/rest"
	gossip "github.com/gpuai/gpuai/p2p/offers"
)

// deals answer about leases, wants and prices.
type deals struct{ pages }

func (p deals) routes() []rest.Route {
	return []rest.Route{
		rest.GetCached("/leases", "leases", "how leases ended, as both sides signed it; the newest first", p.leases,
			"signed", "sums").Fails(market.CodeTimeout),
		rest.GetCached("/leases/{id}", "lease", "one lease: what happened, and what was signed", p.lease, "signed",
			"chain").Fails(market.CodeNotFound),
		rest.GetCached("/wants", "wants", "what customers ask for", p.wants, "gossip", "sums"),
		rest.GetCached("/gpus/{slug}/cleared", "cleared",
			"what was paid for a model, hour by hour: the open price index",
			p.cleared, "sums").Fails(market.CodeNotFound),
	}
}

type leasesIn struct {
	rest.Paging
	Slug     string `query:"slug" maxLength:"32" doc:"the model" example:"rtx-4090"`
	Provider string `query:"provider" maxLength:"64" doc:"the provider's peer id"`
	Customer string `query:"customer" maxLength:"64" doc:"the customer's peer id"`
	Wallet   string `query:"wallet" maxLength:"64" doc:"an address that paid or was paid"`
	Channel  string `query:"channel" maxLength:"64" doc:"the channel"`
	Settled  bool   `query:"settled" doc:"only leases that their channel has paid"`
}

func (p deals) leases(ctx context.Context, in *leasesIn) (Leases, error) {
	if !plain(in.Slug + in.Provider + in.Customer + in.Wallet + in.Channel) {
		return Leases{}, rest.Usage(http.StatusBadRequest, "a filter is no printable text")
	}
	q := db.LeaseQuery{Class: in.Slug, Provider: in.Provider, Customer: in.Customer, Wallet: in.Wallet,
		Channel: in.Channel, Limit: in.Limit + 1}
	if in.Settled {
		q.Least = db.SettledCovered
	}
	after, err := in.From()
	if err == nil && after != "" {
		q.After, err = resumeLease(after)
	}
	if err != nil {
		return Leases{}, err
	}
	list, err := p.Index.Leases(ctx, q)
	out := Leases{Schema: "gpuai.public-leases/v1", Leases: []Lease{}}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		l := list[in.Limit-1]
		out.Cursor = rest.Cursor(strings.Join([]string{strconv.FormatInt(l.Ended, 10), l.ID, l.Provider, l.Customer},
			" "))
	}
	for _, l := range list {
		out.Leases = append(out.Leases, leaseOf(l))
	}
	return out, err
}

func resumeLease(after string) (*db.Lease, error) {
	parts := strings.Split(after, " ")
	if len(parts) == 4 && plain(after) {
		if ended, ok := number(parts[0]); ok {
			return &db.Lease{Ended: ended, ID: parts[1], Deal: db.Deal{Provider: parts[2], Customer: parts[3]}}, nil
		}
	}
	return nil, badCursor()
}

// both signed every lease that is in an index.
var both = []string{"provider", "customer"}

func leaseOf(l db.Lease) Lease {
	out := Lease{Lease: l.ID, Slug: l.Class, Devices: l.Devices, Rate: moneyOf(l.Mint, l.Rate), Provider: l.Provider,
		Customer: l.Customer, Channel: l.Channel, Payer: l.Payer, Payee: l.Payee, StartedAt: at(l.Ready),
		EndedAt: at(l.Ended), Billable: l.BillableMS / 1000, Amount: moneyOf(l.Mint, l.Amount), Code: l.Code,
		Fault: market.Fault(l.Fault).String(), Outputs: l.Outputs, SignedBy: both,
		Origin: Origin{Src: db.Signed, AsOf: AsOf{At: at(l.Ended)}, N: 1, Since: at(l.FirstAt)}}
	out.Rate.Per = "hour"
	if l.Settled != db.SettledUnknown {
		covered := l.Settled == db.SettledCovered
		out.Settled = &covered
	}
	return out
}

type byLease struct {
	ID string `path:"id" maxLength:"64" doc:"the lease" example:"lease_0a1b2c3d4e5f60718293a4b5c6d7e8f9"`
}

// ofChannel is how many instructions are shown with a lease.
const ofChannel = 200

func (p deals) lease(ctx context.Context, in *byLease) (out LeasePage, err error) {
	if !plain(in.ID) {
		return out, missing("lease")
	}
	l, err := p.Index.Lease(ctx, in.ID)
	if err != nil {
		return out, err
	}
	txs, err := p.Index.Txs(ctx, l.Channel, db.Tx{Inner: -2}, ofChannel)
	out = LeasePage{Schema: "gpuai.public-lease/v1", Lease: leaseOf(l), Transactions: []Instruction{},
		Documents: []Document{{"provider", l.ByProvider}, {"customer", l.ByCustomer}}}
	for _, m := range []struct {
		ms   int64
		what string
		src  db.Source
	}{{l.WantedAt, "wanted", db.Gossip}, {l.Accepted, "accepted", db.Signed}, {l.Ready, "ready", db.Signed},
		{l.Ended, "ended", db.Signed}} {
		if m.ms > 0 {
			out.Timeline = append(out.Timeline, Moment{at(m.ms), m.what, m.src})
		}
	}
	for _, t := range txs {
		out.Transactions = append(out.Transactions, instructionOf(t, l.Mint))
		if t.Result == db.TxOK {
			out.Timeline = append(out.Timeline, Moment{at(t.At), t.Name, db.Chain})
		}
	}
	slices.SortStableFunc(out.Timeline, func(a, b Moment) int { return a.At.Compare(b.At.Time) })
	return out, err
}

type wantsIn struct {
	rest.Paging
	Slug string `query:"slug" maxLength:"32" doc:"the model" example:"rtx-4090"`
}

func (p deals) wants(ctx context.Context, in *wantsIn) (Wants, error) {
	q := db.WantQuery{Class: in.Slug, AfterSlot: -1, Limit: in.Limit + 1}
	after, err := in.From()
	if err == nil && after != "" {
		var slot string
		var ok bool
		q.AfterCustomer, slot, _ = strings.Cut(after, " ")
		if q.AfterSlot, ok = number(slot); !ok {
			err = badCursor()
		}
	}
	if err == nil && !plain(in.Slug+after) {
		err = badCursor()
	}
	if err != nil {
		return Wants{}, err
	}
	list, err := p.Index.Wants(ctx, q)
	out := Wants{Schema: "gpuai.public-wants/v1", Wants: []Want{}}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		w := list[in.Limit-1]
		out.Cursor = rest.Cursor(w.Customer + " " + strconv.FormatInt(w.Slot, 10))
	}
	for _, w := range list {
		one := Want{Customer: w.Customer, Slot: w.Slot, Slugs: w.Classes, Devices: w.Devices, Duration: w.DurationSec,
			Began: at(w.Began), Until: at(w.Until),
			Origin: Origin{Src: db.Gossip, AsOf: AsOf{At: at(w.Seq)}, N: 1, Since: at(w.Began)}}
		if w.Rate > 0 {
			one.Rate = rate(w.Mint, w.Rate)
		}
		out.Wants = append(out.Wants, one)
	}
	return out, err
}

type clearedIn struct {
	BySlug
	Since time.Time `query:"since" doc:"the first hour; none: 30 days ago"`
}

// lateMS is how late after a lease's end its Outcome may come: no node passes on one that is later.
const lateMS = int64(gossip.OutcomeAge / time.Millisecond)

func (p deals) cleared(ctx context.Context, in *clearedIn) (ClearedPrices, error) {
	m := p.Index.Market()
	if in.Since.IsZero() {
		in.Since = m.At.AddDate(0, 0, -30)
	}
	out := ClearedPrices{Schema: "gpuai.public-cleared/v1", Slug: in.Slug, Step: db.HourStep, Points: []ClearedPoint{},
		Origin: signed(p.pages, m, 0)}
	if !market.ValidClass(in.Slug) {
		return out, missing("model")
	}
	list, err := p.Index.Cleared(ctx, in.Slug, assets[0].mint, in.Since.UnixMilli(), maxPoints)
	for _, c := range list {
		point := ClearedPoint{At: at(c.At), N: c.N, Pairs: c.Pairs, Payers: c.Payers, Payees: c.Payees,
			DeviceS: c.Weight / 1000, Waiting: c.Waiting,
			Closed: c.Waiting == 0 && c.At+db.HourStep*1000+price.Last+lateMS < m.At.UnixMilli()}
		if c.N > 0 {
			point.Price = rate(c.Mint, c.Price)
		}
		out.N += c.N
		out.Points = append(out.Points, point)
	}
	return out, err
}

// signed is the origin of figures from documents that both sides signed.
func signed(p pages, m *db.Market, n int64) Origin {
	o := p.gossiped(m, n)
	o.Src = db.Signed
	return o
}

// priceOf is the price of a model over the last day, nil: nobody paid for it.
func priceOf(p pages, m *db.Market, class string) *Price {
	c, ok := m.Last24(class, assets[0].mint)
	if !ok {
		return nil
	}
	return &Price{Value: rate(c.Mint, c.Price), Pairs: c.Pairs, Payers: c.Payers, Payees: c.Payees,
		DeviceS: c.Weight / 1000, Origin: signed(p, m, c.N)}
}

// bidsOf are the bid side of a model in the first mint.
func bidsOf(m *db.Market, class string) (out []Bid, best int64) {
	out = []Bid{}
	var sum int64
	for _, b := range m.Bid(class).Levels {
		if b.Mint != assets[0].mint {
			continue
		}
		sum += b.Devices
		one := Bid{Devices: b.Devices, Sum: sum, Wants: b.Wants}
		if b.Rate > 0 {
			one.Rate = rate(b.Mint, b.Rate)
			best = max(best, b.Rate)
		}
		out = append(out, one)
	}
	return out, best
}
