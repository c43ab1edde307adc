package public

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// market are the routes of sums.
func (p pages) market() []rest.Route {
	return []rest.Route{
		rest.GetCached("/summary", "summary", "the market in a few figures", p.summary, "sums", "signed"),
		rest.GetCached("/gpus", "gpus", "all models that are announced", p.models, "sums"),
		rest.GetCached("/gpus/{slug}", "gpu", "one model", p.model, "sums").Fails(market.CodeNotFound),
		rest.GetCached("/gpus/{slug}/prices", "prices", "what was asked for a model over time", p.prices, "sums").
			Fails(market.CodeNotFound),
		rest.GetCached("/book/{slug}", "book", "what is asked for a model, level by level", p.book, "sums").
			Fails(market.CodeNotFound),
		rest.GetCached("/network", "network", "who is there: versions and countries", p.network, "sums"),
	}
}

func (p pages) gpus(m *db.Market, c db.Class) GPUs {
	return GPUs{
		Leased: Count{c.Leased,
			Origin{Src: db.Chain, AsOf: AsOf{At: rest.At(m.At)}, N: c.Rigs, Since: rest.At(p.Since)}},
		Reachable: Count{c.Reachable, p.probed(m, c.Rigs)},
		Announced: Count{c.Announced, p.gossiped(m, c.Rigs)},
		Free:      Count{c.Free, p.gossiped(m, c.Rigs)},
	}
}

func (p pages) modelOf(m *db.Market, c db.Class) Model {
	out := Model{Slug: c.Name, Rigs: Count{c.Rigs, p.gossiped(m, c.Rigs)}, GPUs: p.gpus(m, c), Asks: []Asks{},
		Cleared: priceOf(p, m, c.Name)}
	bids := m.Bid(c.Name)
	out.Wanted = Count{bids.Wanted, p.gossiped(m, bids.N)}
	if c.Announced > 0 {
		out.Utilisation = &Share{float64(c.Leased) / float64(c.Announced), out.GPUs.Leased.Origin}
		out.Utilisation.N = c.Announced
	}
	for _, a := range c.Prices {
		if band, ok := bandOf(a.Mint, a.Low, a.P10, a.P50, a.P90, a.High); ok {
			out.Asks = append(out.Asks, Asks{band, p.gossiped(m, a.N)})
		}
	}
	return out
}

func bandOf(mint string, low, p10, p50, p90, high int64) (Band, bool) {
	_, known := money(mint, "0")
	return Band{rate(mint, low), rate(mint, p10), rate(mint, p50), rate(mint, p90), rate(mint, high)}, known
}

// topModels are on the first page.
const topModels = 10

// lastLeases are on the first page.
const lastLeases = 5

func (p pages) summary(ctx context.Context, _ *none) (Summary, error) {
	m := p.Index.Market()
	var all db.Class
	for _, c := range m.Classes {
		all.Announced += c.Announced
		all.Reachable += c.Reachable
		all.Leased += c.Leased
		all.Free += c.Free
	}
	for _, s := range m.Sellers {
		all.Rigs += s.Rigs
	}
	out := Summary{Schema: "gpuai.public-summary/v1", Network: p.Network, Epoch: p.Index.Epoch(), GPUs: p.gpus(m, all),
		Rigs: Count{all.Rigs, p.gossiped(m, all.Rigs)}, Models: []Model{},
		Jobs: Count{m.Jobs.N, signed(p, m, m.Jobs.N)}, Paid: []Paid{}, Leases: []Lease{}}
	for _, paid := range m.Jobs.Paid {
		if v, ok := money(paid.Mint, paid.Amount.String()); ok {
			out.Paid = append(out.Paid, Paid{v, signed(p, m, paid.N)})
		}
	}
	best := slices.Clone(m.Classes)
	slices.SortStableFunc(best, func(a, b db.Class) int {
		return cmp.Or(cmp.Compare(b.Free, a.Free), cmp.Compare(lowest(a), lowest(b)), strings.Compare(a.Name, b.Name))
	})
	for _, c := range best[:min(len(best), topModels)] {
		out.Models = append(out.Models, p.modelOf(m, c))
	}
	last, err := p.Index.Leases(ctx, db.LeaseQuery{Least: db.SettledNot, Limit: lastLeases})
	for _, l := range last {
		out.Leases = append(out.Leases, leaseOf(l))
	}
	return out, err
}

// lowest price of a model in the first mint; what is not sold comes last.
func lowest(c db.Class) int64 {
	for _, a := range c.Prices {
		if a.Mint == assets[0].mint {
			return a.Low
		}
	}
	return 1 << 62
}

func (p pages) models(_ context.Context, in *rest.Paging) (Models, error) {
	m := p.Index.Market()
	list, cursor, err := rest.Page(*in, m.Classes, func(c db.Class) string { return c.Name })
	out := Models{Schema: "gpuai.public-gpus/v1", Models: []Model{}, Cursor: cursor}
	for _, c := range list {
		out.Models = append(out.Models, p.modelOf(m, c))
	}
	return out, err
}

func (p pages) model(_ context.Context, in *BySlug) (ModelPage, error) {
	m := p.Index.Market()
	c, ok := m.Class(in.Slug)
	if _, paid := m.Last24(in.Slug, assets[0].mint); !ok && !paid && m.Bid(in.Slug).N == 0 {
		return ModelPage{}, missing("model on sale")
	}
	c.Name = in.Slug // nobody may sell what somebody wants
	return ModelPage{"gpuai.public-gpu/v1", p.modelOf(m, c)}, nil
}

type pricesIn struct {
	BySlug
	Since time.Time `query:"since" doc:"the first hour; none: 30 days ago"`
	Every string    `query:"every" enum:"hour,day" doc:"the span of a point; none: hour"`
}

// BySlug is the input of an operation on one model.
type BySlug struct {
	Slug string `path:"slug" maxLength:"32" doc:"the model" example:"rtx-4090"`
}

// maxPoints of a series: 90 days of hours, or six years.
const (
	maxPoints = 2160
	dayStep   = 86_400 // s
)

func (p pages) prices(ctx context.Context, in *pricesIn) (Prices, error) {
	m := p.Index.Market()
	if in.Since.IsZero() {
		in.Since = m.At.AddDate(0, 0, -30)
	}
	out := Prices{Schema: "gpuai.public-prices/v1", Slug: in.Slug, Step: db.HourStep, Points: []Point{}}
	if !market.ValidClass(in.Slug) {
		return out, missing("model")
	}
	read := p.Index.Buckets
	if in.Every == "day" {
		read, out.Step = p.Index.Days, dayStep
	}
	list, err := read(ctx, db.MetricAsk, in.Slug, db.HourStep, in.Since.UnixMilli(), maxPoints)
	if err != nil {
		return out, err
	}
	for _, b := range list {
		if band, ok := bandOf(b.Mint, b.Low, b.P10, b.P50, b.P90, b.High); ok {
			out.Points = append(out.Points,
				Point{At: at(b.At - b.At%(out.Step*1000)), Asks: band, N: b.N, Devices: b.Devices, Free: b.Free,
					Leased: b.Leased, Wanted: b.Wanted})
		}
	}
	out.Origin = p.gossiped(m, int64(len(out.Points)))
	return out, nil
}

func (p pages) book(_ context.Context, in *BySlug) (Depth, error) {
	m := p.Index.Market()
	c, ok := m.Class(in.Slug)
	out := Depth{Schema: "gpuai.public-book/v1", Slug: in.Slug, Asks: []Level{}, Origin: p.gossiped(m, 0)}
	var best int64
	if out.Bids, best = bidsOf(m, in.Slug); !ok && len(out.Bids) == 0 {
		return Depth{}, missing("model on sale")
	}
	var low int64
	for _, a := range c.Prices {
		if a.Mint != assets[0].mint {
			continue
		}
		var sum int64
		for _, l := range a.Levels {
			sum += l.Free
			out.Asks = append(out.Asks, Level{Rate: rate(a.Mint, l.Rate), Devices: l.Devices, Free: l.Free, Sum: sum,
				Offers: l.Lots})
			if low == 0 && l.Free > 0 {
				low = l.Rate
			}
		}
		out.N = a.N
	}
	if best > 0 && low > 0 {
		out.Spread = &Spread{rate(assets[0].mint, low-best), p.gossiped(m, out.N)}
	}
	if f, ok := m.Fill(in.Slug); ok {
		out.Fill = &Wait{f.Median / 1000, signed(p, m, f.N)}
	}
	return out, nil
}

// maxVersions are named: a version is what a rig says of itself.
const maxVersions = 50

// minCountry is how many rigs a country must have to be named.
const minCountry = 3

func (p pages) network(context.Context, *none) (Network, error) {
	m := p.Index.Market()
	versions, countries := map[string]int64{}, map[string]int64{}
	var all, reached, rtt int64
	for _, s := range m.Sellers {
		versions[s.Version] += s.Rigs
		countries[s.Country] += s.Rigs
		all += s.Rigs
		reached += s.Reached
		rtt += s.RTT * s.Reached
	}
	out := Network{Schema: "gpuai.public-network/v1", Network: p.Network, Versions: []VersionCount{},
		Countries: []CountryCount{}}
	if reached > 0 {
		out.RTT = &Micros{rtt / reached, p.probed(m, reached)}
	}
	if d := m.Delay; d.N > 0 {
		out.Gossip = &Gossip{d.P50, d.P95, p.gossiped(m, d.N)}
	}
	names := sorted(versions)
	for _, v := range names[:min(len(names), maxVersions)] {
		out.Versions = append(out.Versions, VersionCount{v, Count{versions[v], p.gossiped(m, all)}})
	}
	var few int64
	for _, c := range sorted(countries) {
		if n := countries[c]; c != "" && n >= minCountry {
			out.Countries = append(out.Countries, CountryCount{c, Count{n, p.gossiped(m, all)}})
		} else {
			few += n
		}
	}
	out.Refused = Count{m.Refused, p.gossiped(m, m.Refused)}
	out.Compared = []Compared{}
	if p.Compared != nil {
		out.Compared = append(out.Compared, p.Compared()...)
	}
	out.Elsewhere = Count{few, p.gossiped(m, all)}
	return out, nil
}

func sorted(m map[string]int64) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b))
	})
	return out
}

// number reads a part of a cursor.
func number(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}
