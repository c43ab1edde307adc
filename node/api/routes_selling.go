package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// selling are the routes of Selling.
type selling struct {
	b        Selling
	patching sync.Mutex // one change at a time: what If-Match compared is what is changed
}

type deviceList struct {
	Schema  string   `json:"schema"`
	Devices []Device `json:"devices"`
	Cursor  string   `json:"cursor,omitempty"`
}

func (s *selling) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/devices", "devices", "of this rig", s.devices),
		rest.Tagged("GET", "/provider", "provider", "the selling side", s.provider).In(rest.ScopeMarket),
		rest.Tagged("PATCH", "/provider", "patchProvider",
			"`{\"selling\": true, \"rate\": MONEY, \"rates\": {\"rtx-4090\": MONEY}}`, each optional", s.patch).
			In(rest.ScopeMarket).Fails(market.CodeConfigInvalid).Answers(http.StatusPreconditionFailed,
			market.CodeConflict).Asks(`{"selling": true, "rate": {"amount": "2400000"}}`),
		rest.Call("POST", "/provider/pause", "pauseProvider", "withdraw the rig; jobs go on", s.sell(false)).
			In(rest.ScopeMarket),
		rest.Call("POST", "/provider/resume", "resumeProvider", "list it again", s.sell(true)).In(rest.ScopeMarket),
		rest.Get("/provider/leases", "providerLeases", "of the selling side: those that are not done with, then "+
			"the others, what ended last first; running jobs with the CPU time and memory that they use",
			s.leases).In(rest.ScopeMarket),
		rest.Get("/provider/earnings", "providerEarnings", "by UTC day and device, from `since=TIME` on; and all that "+
			"was ever earned", s.earnings).In(rest.ScopeMarket),
		rest.Get("/provider/idle", "providerIdle", "who asked in the last 24 h, what came of it, and the rank of the "+
			"own prices", s.idle).In(rest.ScopeMarket),
		rest.Call("POST", "/provider/leases/{id}/kick", "kickLease", "ends a lease as its provider, with "+
			"`{\"reason\": \"…\"}` for the customer", s.kick).In(rest.ScopeMarket).Fails(market.CodeNotFound).
			Asks(`{"reason": "the rig moves house"}`),
	}
}

func (s *selling) devices(ctx context.Context, in *rest.Paging) (out deviceList, err error) {
	p, err := s.b.Provider(ctx)
	if err != nil {
		return out, err
	}
	l, cursor, err := rest.Page(*in, p.Devices, func(d Device) string { return d.ID })
	return deviceList{"gpuai.devices/v1", l, cursor}, err
}

func changeable(p Provider) any { return ProviderPatch{&p.Selling, &p.Rate, p.Rates} }

func (s *selling) provider(ctx context.Context, _ *none) (Provider, any, error) {
	p, err := s.b.Provider(ctx)
	return p, changeable(p), err
}

type patchProvider struct {
	Match string `header:"If-Match" doc:"the ETag of what was read; another one is refused"`
	Body  ProviderPatch
}

func (s *selling) patch(ctx context.Context, in *patchProvider) (p Provider, tag any, err error) {
	s.patching.Lock()
	defer s.patching.Unlock()
	if in.Match != "" {
		if p, err = s.b.Provider(ctx); err == nil {
			err = rest.Match(in.Match, changeable(p))
		}
	}
	if err == nil {
		err = s.b.PatchProvider(ctx, in.Body)
	}
	if err != nil {
		return p, nil, err
	}
	return s.provider(ctx, nil)
}

func (s *selling) sell(on bool) func(context.Context, *Empty) (Provider, error) {
	return func(ctx context.Context, _ *Empty) (Provider, error) { return s.b.ProviderSell(ctx, on) }
}

type soldIn struct {
	rest.Paging
	Live bool `query:"live" doc:"only those that are not done with"`
}

func (s *selling) leases(ctx context.Context, in *soldIn) (leaseList, error) {
	l, next, err := s.b.ProviderLeases(ctx, LeaseQuery{in.Live, in.Cursor, in.Limit})
	return leaseList{"gpuai.leases/v1", append([]Lease{}, l...), next}, err
}

type sinceIn struct {
	Since time.Time `query:"since" doc:"from the UTC day of it on; none: all"`
}

func (s *selling) earnings(ctx context.Context, in *sinceIn) (Earnings, error) {
	return s.b.ProviderEarnings(ctx, in.Since)
}

func (s *selling) idle(ctx context.Context, _ *none) (Idle, error) { return s.b.ProviderIdle(ctx) }

type kickIn struct {
	ByID
	Body *Kick
}

func (s *selling) kick(ctx context.Context, in *kickIn) (done, error) {
	if in.Body == nil {
		in.Body = &Kick{}
	}
	return isDone, s.b.KickLease(ctx, in.ID, in.Body.Reason)
}
