package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// orders are the routes of Orders.
type orders struct {
	b   Orders
	ops *rest.Operations
}

// Lists are wrapped, never null; cursor asks for the next page.
type (
	offerList struct {
		Schema string  `json:"schema"`
		Offers []Offer `json:"offers"`
		Cursor string  `json:"cursor,omitempty"`
	}
	orderList struct {
		Schema string  `json:"schema"`
		Orders []Order `json:"orders"`
		Cursor string  `json:"cursor,omitempty"`
	}
)

// imageCodes are those of a registry that is asked for an image.
var imageCodes = []market.Code{market.CodeImageNotFound, market.CodeImageDenied, market.CodeImageRefused,
	market.CodeRegistryUnreachable}

const orderExample = `{"job": {"image": "pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime", "gpu": "rtx-4090",
	"args": ["nvidia-smi"], "limits": {"max_total": 0.02}}}`

func (s *orders) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/offers", "offers", "all that the node has heard, one row per device group, the best first; by "+
			"`rtt` the node measures some rigs first", s.offers),
		rest.Get("/book/{class}", "depth",
			"depth of a class: what is free at each rate, and what waiting orders would pay",
			s.depth).Fails(market.CodeNotFound),
		rest.Get("/orders", "orders", "live ones, `all=true` for all; `label=NAME=VALUE` (repeated: all of "+
			"them) only those", s.list),
		rest.Get("/orders/{id}", "order",
			"`{id}`: an order or lease id, a unique prefix, a name, `-` for the last",
			s.order).Fails(market.CodeNotFound),
		rest.Get("/job/schema", "jobSchema", "of a job file, draft 2020-12; `job` of an order",
			s.schema).In(rest.ScopeNone),
		rest.Call("POST", "/plans", "plan", "body of an order; ranks offers, signs nothing", s.plan).
			Fails(imageCodes...).Fails(jobCodes...).Asks(orderExample),
		rest.Create("/orders", "createOrder", "takes an order; `job` is a job file as JSON",
			s.create).In(rest.ScopeJobs).
			Fails(market.CodeFundsShort, market.CodeSpendCap, market.CodeCapTooSmall).
			Fails(imageCodes...).Fails(jobCodes...).Asks(orderExample),
		rest.Call("PUT", "/orders/{id}/cap", "raiseCap", "`{\"cap\": \"LAMPORTS\"}`: a running order may cost up to "+
			"it; not above the present cap: nothing changes. `conflict` once the job stops", s.raiseCap).
			In(rest.ScopeJobs).Fails(market.CodeNotFound).Fails(market.CodeConflict, market.CodeFundsShort,
			market.CodeSpendCap).Asks(`{"cap": "30000000"}`),
		rest.Call("POST", "/orders/{id}/stop", "stopOrder", "`now=true` skips the grace", s.stop).
			In(rest.ScopeJobs).Fails(market.CodeNotFound),
		rest.Get("/operations/{id}", "operation", "`state`, `phase`, `done` of `total` `unit`s", s.operation).
			Fails(market.CodeNotFound),
	}
}

type offersIn struct {
	rest.Paging
	Sort string `query:"sort" doc:"price, value:FIELD as in value:fp16, rtt, ready, uptime, or another field"`
}

func (s *orders) offers(ctx context.Context, in *offersIn) (out offerList, err error) {
	by, err := market.ParseSort(in.Sort)
	if err != nil {
		return out, err
	}
	l, err := s.b.Offers(ctx, by)
	if err != nil {
		return out, err
	}
	l, cursor, err := rest.Page(in.Paging, l, func(o Offer) string { return o.Place })
	return offerList{"gpuai.offers/v1", l, cursor}, err
}

type classIn struct {
	Class string `path:"class" doc:"as in rtx-4090" example:"rtx-4090"`
}

func (s *orders) depth(ctx context.Context, in *classIn) (Depth, error) {
	return s.b.Depth(ctx, in.Class)
}

type ordersIn struct {
	rest.Paging
	All    bool     `query:"all" doc:"also those that are over"`
	Newest bool     `query:"newest" doc:"the newest of them, as many as limit says, without a cursor"`
	Name   string   `query:"name" doc:"only orders of this name"`
	Labels []string `query:"label,explode" doc:"NAME=VALUE, only orders with this label; several: with each of them"`
}

func (s *orders) list(ctx context.Context, in *ordersIn) (out orderList, err error) {
	q := OrderQuery{All: in.All, Name: in.Name, Labels: in.Labels, Limit: in.Limit + 1}
	if in.Newest {
		q.Newest = in.Limit
	} else if at, id, ok := strings.Cut(in.After(), " "); ok {
		if q.At, err = time.Parse(rest.TimeForm, at); err != nil {
			return out, rest.Usage(http.StatusBadRequest, "cursor is none of this list")
		}
		q.After = id
	}
	l, err := s.b.Orders(ctx, q)
	if err != nil {
		return out, err
	}
	l = slices.DeleteFunc(slices.Clone(l), func(o Order) bool {
		return in.Name != "" && o.Name != in.Name || !o.labelled(in.Labels)
	})
	key := func(o Order) string { return byAge(o.CreatedAt, o.ID) }
	if in.Newest {
		slices.SortFunc(l, func(a, b Order) int { return strings.Compare(key(a), key(b)) })
		return orderList{"gpuai.orders/v1", l[max(0, len(l)-in.Limit):], ""}, nil
	}
	l, cursor, err := rest.Page(in.Paging, l, key)
	return orderList{"gpuai.orders/v1", l, cursor}, err
}

func (s *orders) order(ctx context.Context, in *ByID) (Order, error) { return s.b.Order(ctx, in.ID) }

func (s *orders) schema(context.Context, *none) (json.RawMessage, error) { return spec.Schema(), nil }

func (s *orders) plan(ctx context.Context, in *orderIn) (Plan, error) {
	r, err := in.request(ctx)
	if err != nil {
		return Plan{}, err
	}
	return s.b.Plan(ctx, r)
}

func (s *orders) create(ctx context.Context, in *orderIn) (o Order, at string, err error) {
	r, err := in.request(ctx)
	if err != nil {
		return o, "", err
	}
	o, err = s.b.CreateOrder(ctx, r)
	return o, "/orders/" + o.ID, err
}

// capBody is the most that an order may cost from now on, in lamports.
type capBody struct {
	Cap Lamports `json:"cap"`
}

type capIn struct {
	ByID
	Body capBody
}

func (s *orders) raiseCap(ctx context.Context, in *capIn) (Order, error) {
	if in.Body.Cap == 0 {
		return Order{}, rest.Usage(http.StatusBadRequest, "a cap is an amount of lamports")
	}
	return s.b.RaiseCap(ctx, in.ID, market.Amount(in.Body.Cap))
}

type stopIn struct {
	ByID
	Empty
	Now bool `query:"now" doc:"skip the grace"`
}

func (s *orders) stop(ctx context.Context, in *stopIn) (done, error) {
	return isDone, s.b.StopOrder(ctx, in.ID, in.Now)
}

// operation is one by its id, or the phase of an order.
func (s *orders) operation(ctx context.Context, in *ByID) (rest.Operation, error) {
	if !strings.HasPrefix(in.ID, "order_") {
		return s.ops.Get(in.ID)
	}
	o, err := s.b.Order(ctx, in.ID)
	if err != nil {
		return rest.Operation{}, err
	}
	return orderOperation(o), nil
}

func orderOperation(o Order) rest.Operation {
	op := rest.Operation{
		Schema: "gpuai.operation/v1", ID: o.ID, State: "running", Phase: o.Progress.Phase, Done: o.Progress.Done,
		Total: o.Progress.Total, Since: o.CreatedAt, LastProgress: o.CreatedAt,
	}
	if op.Phase == "" {
		op.Phase = o.Standing
	}
	if op.Total > 0 {
		op.Unit = "bytes"
	}
	if n := len(o.Steps); n > 0 {
		op.Since, op.LastProgress = o.Steps[n-1].At, o.Steps[n-1].At
	}
	switch o.Standing {
	case "ended":
		op.State = "done"
	case "failed":
		op.State = "failed"
		p := rest.ProblemOf(&market.Error{Code: o.Code, Kind: market.KindConflict, Detail: o.Detail, Hint: o.Hint})
		op.Error = &p
	}
	return op
}
