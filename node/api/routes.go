package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// route is one endpoint. Either answer or raw; keyed: it creates, so it needs an Idempotency-Key. docs/reference/api.md
// has a row for each.
type route struct {
	method, path string
	query        map[string]kind
	keyed        bool
	answer       func(r *http.Request) (any, error)
	raw          http.HandlerFunc
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
	channelList struct {
		Schema   string    `json:"schema"`
		Channels []Channel `json:"channels"`
		Cursor   string    `json:"cursor,omitempty"`
	}
	leaseList struct {
		Schema string  `json:"schema"`
		Leases []Lease `json:"leases"`
		Cursor string  `json:"cursor,omitempty"`
	}
	deviceList struct {
		Schema  string   `json:"schema"`
		Devices []Device `json:"devices"`
		Cursor  string   `json:"cursor,omitempty"`
	}
	receiptList struct {
		Schema   string         `json:"schema"`
		Receipts []LeaseReceipt `json:"receipts"`
		Cursor   string         `json:"cursor,omitempty"`
	}
	done struct {
		Schema string `json:"schema"` // gpuai.done/v1: it is done, there is no document
	}
	// nothing is the body of requests that say all in their path.
	nothing struct{}
	// amountBody carries money of a request, in lamports.
	amountBody struct {
		To     string   `json:"to,omitempty"`
		Amount Lamports `json:"amount"`
		All    bool     `json:"all,omitempty"`
	}
)

var (
	paging = map[string]kind{"limit": number, "cursor": text}
	isDone = done{"gpuai.done/v1"}
)

func (s *Server) routes() []route {
	get := func(path string, f func(r *http.Request) (any, error)) route {
		return route{method: "GET", path: path, answer: f}
	}
	list := func(path string, f func(r *http.Request) (any, error)) route {
		return route{method: "GET", path: path, query: paging, answer: f}
	}
	post := func(path string, f func(r *http.Request) (any, error)) route {
		return route{method: "POST", path: path, answer: f}
	}
	create := func(path string, f func(r *http.Request) (any, error)) route {
		return route{method: "POST", path: path, answer: f, keyed: true}
	}
	return []route{
		get("/version", func(*http.Request) (any, error) { return Build{"gpuai.version/v1", Version, MinClient}, nil }),
		get("/status", func(r *http.Request) (any, error) { return s.b.Status(r.Context()) }),
		get("/health", func(r *http.Request) (any, error) { return s.b.Health(r.Context()) }),
		{method: "GET", path: "/config",
			raw: s.getTagged(func(ctx context.Context) (any, any, error) { return s.config(ctx) })},
		list("/devices", s.devices),
		list("/offers", s.offers),
		{method: "GET", path: "/orders", answer: s.orders,
			query: map[string]kind{"limit": number, "cursor": text, "all": boolean, "label": text}},
		get("/orders/{id}", func(r *http.Request) (any, error) { return s.b.Order(r.Context(), r.PathValue("id")) }),
		get("/orders/{id}/receipt",
			func(r *http.Request) (any, error) { return s.b.Receipt(r.Context(), r.PathValue("id")) }),
		list("/leases", s.leases),
		get("/leases/{id}", func(r *http.Request) (any, error) { return s.b.Lease(r.Context(), r.PathValue("id")) }),
		list("/leases/{id}/receipts", s.receipts),
		get("/leases/{id}/outcome",
			func(r *http.Request) (any, error) { return s.b.LeaseOutcome(r.Context(), r.PathValue("id")) }),
		list("/channels", s.channels),
		get("/channels/{addr}", s.channel),
		get("/wallet", func(r *http.Request) (any, error) { return s.b.Wallet(r.Context()) }),
		get("/operations/{id}", s.operation),
		{method: "GET", path: "/events", query: map[string]kind{"topics": text}, raw: s.events},
		get("/job/schema", func(*http.Request) (any, error) { return json.RawMessage(spec.Schema()), nil }),
		post("/plans", s.plan),
		post("/doctor", s.doctor),
		create("/orders", s.createOrder),
		{method: "PUT", path: "/orders/{id}/inputs/{n}", answer: s.putInputs},
		{method: "GET", path: "/orders/{id}/outputs/{n}", raw: s.outputs},
		get("/spool", func(r *http.Request) (any, error) { return s.b.Spool(r.Context()) }),
		post("/spool/prune", func(r *http.Request) (any, error) { return withBody(r, s.b.PruneSpool) }),
		{method: "PUT", path: "/orders/{id}/cap", answer: s.raiseCap},
		{method: "POST", path: "/orders/{id}/stop", query: map[string]kind{"now": boolean}, answer: s.stopOrder},
		{method: "GET", path: "/leases/{id}/logs",
			query: map[string]kind{"follow": boolean, "since": moment, "from": number, "places": boolean}, raw: s.logs},
		{method: "POST", path: "/leases/{id}/exec", query: map[string]kind{"arg": text, "tty": boolean, "cols": number,
			"rows": number, "term": text}, raw: s.exec},
		{method: "GET", path: "/provider", raw: s.getTagged(s.provider)},
		{method: "PATCH", path: "/provider", raw: s.patchProvider},
		post("/provider/pause", s.sell(false)),
		post("/provider/resume", s.sell(true)),
		list("/provider/leases", s.providerLeases),
		{method: "GET", path: "/provider/earnings", query: map[string]kind{"since": moment}, answer: s.earnings},
		get("/provider/idle", func(r *http.Request) (any, error) { return s.b.ProviderIdle(r.Context()) }),
		post("/provider/leases/{id}/kick", s.kick),
		create("/wallet", func(r *http.Request) (any, error) { return withNothing(r, s.b.WalletNew) }),
		create("/wallet/airdrop", s.airdrop),
		create("/wallet/withdraw", s.withdraw),
		post("/channels/{addr}/close", s.closeChannel),
		{method: "PATCH", path: "/config", raw: s.patchConfig},
		{method: "POST", path: "/shutdown", query: map[string]kind{"end_leases": boolean}, answer: s.shutdown},
	}
}

func withBody[B, A any](r *http.Request, f func(context.Context, B) (A, error)) (any, error) {
	b, err := body[B](r, false)
	if err != nil {
		return nil, err
	}
	return f(r.Context(), b)
}

func withNothing[A any](r *http.Request, f func(context.Context) (A, error)) (any, error) {
	if _, err := body[nothing](r, true); err != nil {
		return nil, err
	}
	return f(r.Context())
}

func (s *Server) devices(r *http.Request) (any, error) {
	p, err := s.b.Provider(r.Context())
	if err != nil {
		return nil, err
	}
	l, cursor, err := page(r, p.Devices, func(d Device) string { return d.ID })
	return deviceList{"gpuai.devices/v1", l, cursor}, err
}

func (s *Server) offers(r *http.Request) (any, error) {
	l, err := s.b.Offers(r.Context())
	if err != nil {
		return nil, err
	}
	l, cursor, err := page(r, l, func(o Offer) string { return o.Provider + " " + o.Class })
	return offerList{"gpuai.offers/v1", l, cursor}, err
}

func byAge(t Time, id string) string { return t.UTC().Format(timeForm) + " " + id }

func (s *Server) orders(r *http.Request) (any, error) {
	l, err := s.b.Orders(r.Context(), flag(r, "all"))
	if err != nil {
		return nil, err
	}
	labels := r.URL.Query()["label"]
	l = slices.DeleteFunc(slices.Clone(l), func(o Order) bool { return !o.labelled(labels) })
	l, cursor, err := page(r, l, func(o Order) string { return byAge(o.CreatedAt, o.ID) })
	return orderList{"gpuai.orders/v1", l, cursor}, err
}

func (s *Server) leases(r *http.Request) (any, error) {
	l, err := s.b.Leases(r.Context())
	return s.leasePage(r, l, err)
}

func (s *Server) providerLeases(r *http.Request) (any, error) {
	l, err := s.b.ProviderLeases(r.Context())
	return s.leasePage(r, l, err)
}

func (s *Server) leasePage(r *http.Request, l []Lease, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	l, cursor, err := page(r, l, func(l Lease) string { return byAge(l.CreatedAt, l.ID+l.Role) })
	return leaseList{"gpuai.leases/v1", l, cursor}, err
}

func (s *Server) receipts(r *http.Request) (any, error) {
	l, err := s.b.LeaseReceipts(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	l, cursor, err := page(r, l, func(x LeaseReceipt) string { return fixed(x.Seq) })
	return receiptList{"gpuai.receipts/v1", l, cursor}, err
}

func (s *Server) channels(r *http.Request) (any, error) {
	l, err := s.b.Channels(r.Context())
	if err != nil {
		return nil, err
	}
	l, cursor, err := page(r, l, func(c Channel) string { return byAge(c.OpenedAt, c.Address) })
	return channelList{"gpuai.channels/v1", l, cursor}, err
}

func (s *Server) channel(r *http.Request) (any, error) {
	l, err := s.b.Channels(r.Context())
	if err != nil {
		return nil, err
	}
	for _, c := range l {
		if c.Address == r.PathValue("addr") {
			return c, nil
		}
	}
	return nil, &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "find channel",
		Detail: "no channel of this node has that address", Hint: "gpuai channel list"}
}

func (s *Server) doctor(r *http.Request) (any, error) {
	b, err := body[DoctorRequest](r, true)
	if err != nil {
		return nil, err
	}
	return s.b.Doctor(r.Context(), b)
}

func (s *Server) plan(r *http.Request) (any, error) {
	b, err := orderRequest(r)
	if err != nil {
		return nil, err
	}
	return s.b.Plan(r.Context(), b)
}

func (s *Server) createOrder(r *http.Request) (any, error) {
	b, err := orderRequest(r)
	if err != nil {
		return nil, err
	}
	o, err := s.b.CreateOrder(r.Context(), b)
	return created{o, "/orders/" + o.ID}, err
}

// onlyFirst: one archive holds all inputs, and one all outputs.
func onlyFirst(r *http.Request) error {
	if r.PathValue("n") != "0" {
		return &market.Error{Code: "not-found", Kind: market.KindNotFound, Op: "find archive",
			Detail: "an order has one archive, number 0", Hint: "see docs/reference/api.md"}
	}
	return nil
}

func (s *Server) putInputs(r *http.Request) (any, error) {
	if err := onlyFirst(r); err != nil {
		return nil, err
	}
	if err := mediaType(r, "application/x-tar"); err != nil {
		return nil, err
	}
	return isDone, s.b.PutInputs(r.Context(), r.PathValue("id"), r.Body)
}

// capBody is the most that an order may cost from now on, in lamports.
type capBody struct {
	Cap Lamports `json:"cap"`
}

func (s *Server) raiseCap(r *http.Request) (any, error) {
	b, err := body[capBody](r, false)
	if err != nil {
		return nil, err
	}
	if b.Cap == 0 {
		return nil, usage(http.StatusBadRequest, "a cap is an amount of lamports")
	}
	return s.b.RaiseCap(r.Context(), r.PathValue("id"), market.Amount(b.Cap))
}

func (s *Server) stopOrder(r *http.Request) (any, error) {
	return withNothing(r, func(ctx context.Context) (done, error) {
		return isDone, s.b.StopOrder(ctx, r.PathValue("id"), flag(r, "now"))
	})
}

func (s *Server) sell(on bool) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		return withNothing(r, func(ctx context.Context) (Provider, error) { return s.b.ProviderSell(ctx, on) })
	}
}

func (s *Server) airdrop(r *http.Request) (any, error) {
	b, err := body[amountBody](r, false)
	if err != nil {
		return nil, err
	}
	if b.Amount == 0 || b.To != "" || b.All {
		return nil, usage(http.StatusBadRequest, "an airdrop has an amount of lamports and nothing else")
	}
	return s.begin(r.Context(), operationID(requestKey(r.Context())), "airdrop",
		func(ctx context.Context) (any, error) { return s.b.Airdrop(ctx, market.Amount(b.Amount)) }), nil
}

func (s *Server) withdraw(r *http.Request) (any, error) {
	b, err := body[amountBody](r, false)
	if err != nil {
		return nil, err
	}
	if _, err := market.ParseAddress(b.To); err != nil || (b.Amount == 0) != b.All {
		return nil, usage(http.StatusBadRequest, "a withdrawal has an address, and either an amount of lamports or all")
	}
	w := Withdrawal{Key: requestKey(r.Context()), To: b.To, Amount: market.Amount(b.Amount), All: b.All}
	return s.begin(r.Context(), operationID(w.Key), "withdraw",
		func(ctx context.Context) (any, error) { return s.b.Withdraw(ctx, w) }), nil
}

// closeChannel begins a close; what is wrong at once is told at once.
func (s *Server) closeChannel(r *http.Request) (any, error) {
	if _, err := body[nothing](r, true); err != nil {
		return nil, err
	}
	if _, err := s.channel(r); err != nil {
		return nil, err
	}
	addr := r.PathValue("addr")
	return s.begin(r.Context(), operationID("close "+addr), "close",
		func(ctx context.Context) (any, error) { return s.b.CloseChannel(ctx, addr) }), nil
}

func (s *Server) shutdown(r *http.Request) (any, error) {
	return withNothing(r, func(ctx context.Context) (done, error) {
		return isDone,
			s.b.Shutdown(ctx, flag(r, "end_leases"))
	})
}

// config gives the document and what its tag covers.
func (s *Server) config(ctx context.Context) (doc, tagged any, err error) {
	c, err := s.b.Config(ctx)
	return c, c.Settings, err
}

func (s *Server) provider(ctx context.Context) (doc, tagged any, err error) {
	p, err := s.b.Provider(ctx)
	return p, ProviderPatch{&p.Selling, &p.Rate, p.Rates}, err
}

func tag(v any) string {
	h := sha256.Sum256(render(v).Body)
	return `"` + hex.EncodeToString(h[:12]) + `"`
}

// getTagged answers with an ETag over what a PATCH can change.
func (s *Server) getTagged(read func(context.Context) (doc, tagged any, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc, tagged, err := read(r.Context())
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		w.Header().Set("ETag", tag(tagged))
		send(w, render(doc))
	}
}

// patch changes a document under If-Match, if given. Requests are one at a time: what was compared is what is changed.
func patch[B any](s *Server, w http.ResponseWriter, r *http.Request,
	read func(context.Context) (doc, tagged any, err error), apply func(context.Context, B) error) {
	s.patching.Lock()
	defer s.patching.Unlock()
	b, err := body[B](r, false)
	if err == nil {
		err = s.ifMatch(r, read)
	}
	if err == nil {
		err = apply(r.Context(), b)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.getTagged(read)(w, r)
}

func (s *Server) ifMatch(r *http.Request, read func(context.Context) (doc, tagged any, err error)) error {
	want := r.Header.Get("If-Match")
	if want == "" {
		return nil
	}
	_, tagged, err := read(r.Context())
	if err != nil {
		return err
	}
	for t := range strings.SplitSeq(want, ",") {
		if t = strings.TrimSpace(t); t == "*" || t == tag(tagged) {
			return nil
		}
	}
	return &withStatus{
		cause: &market.Error{Code: "conflict", Kind: market.KindConflict, Op: "change document",
			Detail: "it has changed since it was read", Hint: "read it again, then change it"},
		status: http.StatusPreconditionFailed,
	}
}

func (s *Server) patchProvider(w http.ResponseWriter, r *http.Request) {
	patch(s, w, r, s.provider, s.b.PatchProvider)
}

func (s *Server) patchConfig(w http.ResponseWriter, r *http.Request) {
	restart := []string{}
	read := func(ctx context.Context) (doc, tagged any, err error) {
		c, err := s.b.Config(ctx)
		c.Restart = restart
		return c, c.Settings, err
	}
	patch(s, w, r, read, func(ctx context.Context, p SettingsPatch) (err error) {
		if len(p.Set) == 0 {
			return usage(http.StatusBadRequest, "set names no key")
		}
		restart, err = s.b.PatchConfig(ctx, p)
		return err
	})
}
