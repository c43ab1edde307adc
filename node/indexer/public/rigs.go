package public

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// rigs are the routes of offers and providers.
func (p pages) rigs() []rest.Route {
	return []rest.Route{
		rest.GetCached("/offers", "offers", "what is on sale, the cheapest first", p.offers, "gossip", "probe", "sums").
			Fails(market.CodeTimeout),
		rest.GetCached("/offers/{peer}", "offersOf", "what one provider sells", p.offersOf, "gossip", "probe").
			Fails(market.CodeNotFound),
		rest.GetCached("/offers/{peer}/raw", "rawOffer", "an Offer as its provider signed it, without addresses", p.raw,
			"gossip").Fails(market.CodeNotFound),
		rest.GetCached("/providers", "providers", "all providers that were heard", p.providers, "gossip", "probe"),
		rest.GetCached("/providers/{peer}", "provider", "one provider: what it sells, and how often it answered",
			p.provider, "gossip", "probe", "signed").Fails(market.CodeNotFound),
	}
}

type offersIn struct {
	rest.Paging
	Slug      string `query:"slug" maxLength:"32" doc:"the model" example:"rtx-4090"`
	MaxRate   int64  `query:"max_rate" minimum:"1" doc:"at most this, in the mint's smallest unit per device and hour"`
	Free      int64  `query:"free" minimum:"0" maximum:"64" doc:"at least so many free devices"`
	VRAM      int64  `query:"vram_bytes" minimum:"0" doc:"at least so much memory of each device"`
	Country   string `query:"country" maxLength:"2" doc:"two letters"`
	Reachable bool   `query:"reachable" doc:"only rigs that answered this indexer within 10 minutes"`
}

func (p pages) offers(ctx context.Context, in *offersIn) (Offers, error) {
	m := p.Index.Market()
	q := db.LotQuery{Class: in.Slug, Mint: assets[0].mint, Country: strings.ToUpper(in.Country), MaxRate: in.MaxRate,
		MinFree: in.Free, MinVRAM: in.VRAM, Limit: in.Limit + 1}
	if !plain(in.Slug + in.Country) {
		return Offers{}, rest.Usage(http.StatusBadRequest, "slug or country is no printable text")
	}
	if in.Reachable {
		q.ReachedSince = m.At.Add(-db.Reachable).UnixMilli()
	}
	after, err := in.From()
	if err == nil && after != "" {
		err = resume(&q, after)
	}
	if err != nil {
		return Offers{}, err
	}
	list, err := p.Index.Lots(ctx, q)
	out := Offers{Schema: "gpuai.public-offers/v1", Offers: []Offer{}, Origin: p.gossiped(m, int64(len(list)))}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		l := list[in.Limit-1]
		out.N = int64(len(list))
		out.Cursor = rest.Cursor(fmt.Sprintf("%d %s %d %s", l.Rate, l.Peer, l.Ix, l.Mint))
	}
	for _, l := range list {
		out.Offers = append(out.Offers, offerOf(l))
	}
	return out, err
}

func badCursor() error { return rest.Usage(http.StatusBadRequest, "cursor is none of this list") }

// resume makes a query go on after the last row of the page before. Error: the cursor is none.
func resume(q *db.LotQuery, after string) error {
	parts := strings.Split(after, " ")
	if len(parts) == 4 && plain(after) {
		price, ok := number(parts[0])
		ix, ok2 := number(parts[2])
		if ok && ok2 {
			q.After, q.AfterRate, q.AfterPeer, q.AfterIx, q.AfterMint = true, price, parts[1], ix, parts[3]
			return nil
		}
	}
	return badCursor()
}

func offerOf(l db.Lot) Offer {
	o := Offer{Peer: l.Peer, Group: l.Ix, Slug: l.Class, Name: l.Name, Devices: l.Devices, Free: l.Free,
		VRAMBytes: l.VRAM, RAMBytes: l.RAM, DiskBytes: l.Disk, CPUMilli: l.CPUMilli, Country: l.Country,
		Reached: at(l.Reached)}
	if l.Rate > 0 {
		o.Rate = rate(l.Mint, l.Rate)
	}
	return o
}

type byPeer struct {
	Peer string `path:"peer" doc:"the provider's peer id" example:"12D3KooWNVcnyi3tAfKwAhD5ejJKpnkXHBBNAJCgFThTgyPfR8HB"`
}

// rigOf is the one that a path names.
func rigOf(ctx context.Context, p pages, in *byPeer) (db.Rig, error) {
	if !plain(in.Peer) {
		return db.Rig{}, missing("provider")
	}
	return p.Index.Rig(ctx, in.Peer)
}

// heard is the origin of one rig's Offer.
func heard(r db.Rig, n int) Origin {
	return Origin{Src: db.Gossip, AsOf: AsOf{At: at(r.LastAt)}, N: int64(n), Since: at(r.FirstAt)}
}

func (p pages) offersOf(ctx context.Context, in *byPeer) (Offers, error) {
	r, err := rigOf(ctx, p, in)
	return Offers{Schema: "gpuai.public-offers/v1", Offers: lotsOf(r), Origin: heard(r, len(r.Lots))}, err
}

func lotsOf(r db.Rig) []Offer {
	out := []Offer{}
	for _, l := range r.Lots {
		out = append(out, offerOf(l))
	}
	return out
}

func (p pages) raw(ctx context.Context, in *byPeer) (RawOffer, error) {
	r, err := rigOf(ctx, p, in)
	return RawOffer{"gpuai.public-raw-offer/v1", r.Peer, r.Seq, r.Raw, heard(r, 1)}, err
}

func providerOf(r db.Rig) Provider {
	return Provider{Peer: r.Peer, Seq: r.Seq, Live: r.Live, ExpiresAt: at(r.ExpiresAt), Payout: r.Payout,
		Version: r.Version, Devices: r.Devices, Free: r.Free,
		Probe: Probe{At: at(r.ProbedAt), Reached: at(r.Reached), RTT: r.RTT}, Origin: heard(r, 1)}
}

func (p pages) providers(ctx context.Context, in *rest.Paging) (Providers, error) {
	after, err := in.From()
	if err == nil && !plain(after) {
		err = badCursor()
	}
	if err != nil {
		return Providers{}, err
	}
	list, err := p.Index.Rigs(ctx, after, in.Limit+1)
	out := Providers{Schema: "gpuai.public-providers/v1", Providers: []Provider{}}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.Cursor = rest.Cursor(list[in.Limit-1].Peer)
	}
	for _, r := range list {
		out.Providers = append(out.Providers, providerOf(r))
	}
	return out, err
}

// uptimeDays are shown of a provider.
const uptimeDays = 90

func (p pages) provider(ctx context.Context, in *byPeer) (ProviderPage, error) {
	r, err := rigOf(ctx, p, in)
	if err != nil {
		return ProviderPage{}, err
	}
	out := ProviderPage{"gpuai.public-provider/v1", providerOf(r), lotsOf(r), []Day{}, []End{}}
	day := max(r.ProbedAt, r.LastAt) / time.Hour.Milliseconds() / 24
	days, err := p.Index.Uptime(ctx, r.Peer, day-uptimeDays+1)
	if err != nil {
		return out, err
	}
	for _, d := range days {
		out.Uptime = append(out.Uptime, Day{time.Unix(d.Day*86_400, 0).UTC().Format(time.DateOnly), d.Probes,
			d.Reached})
	}
	ends, err := p.Index.Ends(ctx, r.Peer)
	for _, e := range ends {
		out.Ends = append(out.Ends, End{e.Code, market.Fault(e.Fault).String(), e.N})
	}
	return out, err
}
