package customer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gpuai/gpuai/market"
)

// orders is the list of this node's orders: those that are not done with in memory, the others in the archive. All
// methods are safe for any goroutine.
type orders struct {
	archive
	c *Customer

	mu    sync.Mutex
	runs  map[market.OrderID]*orderRun
	order []market.OrderID // creation order
}

// load reads the orders.
func (l *orders) load() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.c.db.Scan(bucketOrders, nil, func(k, v []byte) error {
		row, err := readOrder(v, l.c.tickOf)
		if err != nil {
			return fmt.Errorf("order row %x: %w", k, err)
		}
		r := l.c.newRun(row)
		r.kept.purchase = row.Purchase
		l.runs[row.ID] = r
		l.order = append(l.order, row.ID)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(l.order, func(i, j market.OrderID) int {
		return l.runs[i].row.Created.Compare(l.runs[j].row.Created)
	})
	return nil
}

// all are the orders, oldest first.
func (l *orders) all() []*orderRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	runs := make([]*orderRun, len(l.order))
	for i, id := range l.order {
		runs[i] = l.runs[id]
	}
	return runs
}

// resume lets the orders go on that the last start of this node has left.
func (l *orders) resume(ctx context.Context) {
	for _, r := range l.all() {
		if o := r.snapshot(); o.Stage != market.StageOver || o.Lingers {
			r.happens(ctx, market.NodeStarted{}, nil)
		}
	}
}

// Orders lists the orders that are not done with, oldest first.
func (l *orders) Orders() []View {
	runs := l.all()
	out := make([]View, len(runs))
	for i, r := range runs {
		out[i] = r.view()
	}
	return out
}

// Find resolves an order or lease id, a unique prefix of either, a name, or "-" (the last). Error: not-found.
func (l *orders) find(ref string) (*orderRun, error) {
	if r := l.run(ref); r != nil {
		return r, nil
	}
	var hits []*orderRun
	for _, r := range l.all() {
		o := r.snapshot()
		if ref == "-" || strings.HasPrefix(o.ID.String(), ref) || o.Request.File.Name == ref && ref != "" ||
			o.Lease != nil && strings.HasPrefix(o.Lease.ID.String(), ref) {
			hits = append(hits, r)
		}
	}
	past, err := l.named(ref)
	if err != nil {
		return nil, err
	}
	for _, id := range past {
		o, b, err := l.row(id)
		if err != nil {
			return nil, err
		}
		if b != nil && !slices.ContainsFunc(hits,
			func(r *orderRun) bool { return r.row.ID == id }) { // else it left just now
			hits = append(hits, l.recalled(o, b))
		}
	}
	if ref == "-" && len(hits) > 0 {
		hits = []*orderRun{slices.MaxFunc(hits,
			func(a, b *orderRun) int { return a.row.Created.Compare(b.row.Created) })}
	}
	if len(hits) != 1 || ref == "" {
		return nil, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "find order",
			Detail: unfound(ref, len(hits)), Hint: "gpuai ps -a"}
	}
	return hits[0], nil
}

// run is the order in memory whose whole id ref is, nil if there is none.
func (l *orders) run(ref string) *orderRun {
	id, err := market.ParseOrderID(ref)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id]
}

// recalled is an order of the archive; past is its row there.
func (l *orders) recalled(o orderRow, past []byte) *orderRun {
	r := l.c.newRun(o)
	r.kept.purchase, r.past = o.Purchase, past
	return r
}

// Past lists at most n orders that have left memory, in the order in which they were placed, after or before a place;
// nil: from the first or the last. name, and label as NAME=VALUE: only those, if it is not empty. next is nil at the
// end. Errors: the store's.
func (l *orders) Past(name, label string, place []byte, n int, backwards bool) (list []View, next []byte, err error) {
	word := ""
	switch {
	case name != "":
		word = "=" + name
	case label != "":
		word = "#" + label
	}
	rows, next, err := l.page(word, place, n, backwards)
	for _, o := range rows {
		list = append(list, l.recalled(o, nil).view())
	}
	return list, next, err
}

// unfound says why a word names no order.
func unfound(ref string, hits int) string {
	switch {
	case ref == "-" && hits == 0:
		return "there is no order yet, so none is the last"
	case ref == "" || hits == 0:
		return fmt.Sprintf("no order has the id or name %q", ref)
	}
	return fmt.Sprintf("%q fits %d orders: give more of the id", ref, hits)
}

// Order returns one order; ref as in Find. Error: not-found.
func (l *orders) Order(ref string) (View, error) {
	r, err := l.find(ref)
	if err != nil {
		return View{}, err
	}
	return r.view(), nil
}

// Until returns once an order is as ok says, which is asked at each of its changes. Errors: not-found; ctx's.
func (l *orders) Until(ctx context.Context, ref string, ok func(View) bool) error {
	r, err := l.find(ref)
	if err != nil {
		return err
	}
	return r.bell.Until(ctx, func() bool { return ok(r.view()) })
}

// StopOrder ends an order; now skips the grace.
func (l *orders) StopOrder(ctx context.Context, ref string, now bool) error {
	r, err := l.find(ref)
	if err != nil {
		return err
	}
	return r.apply(ctx, market.OrderStopped{Kill: now}, nil)
}

// Place takes an order; the same Key returns the same order. It waits until Serve has read the store. Errors:
// bad-usage; ctx's; the store's.
func (l *orders) Place(ctx context.Context, r Request) (market.OrderID, error) {
	if err := r.Validate(); err != nil {
		return market.OrderID{}, err
	}
	if err := l.c.whenRead(ctx); err != nil {
		return market.OrderID{}, err
	}
	return l.enter(ctx, r, false)
}

// enter stores a new order and lets it go on; waits: once its inputs are here. A known Key is the same order.
func (l *orders) enter(ctx context.Context, r Request, waits bool) (market.OrderID, error) {
	id := OrderIDOf(l.c.cfg.ID, r.Key)
	p, err := market.NewPurchase(id, termsOf(&r), waits, l.c.now())
	if err != nil {
		return id, err
	}
	if _, have, err := l.get(id); have || err != nil {
		return id, err
	}
	run := l.c.newRun(orderRow{Request: r, ID: id, Created: l.c.now(), Purchase: p})
	l.mu.Lock()
	if _, have := l.runs[id]; have {
		l.mu.Unlock()
		return id, nil
	}
	l.runs[id], l.order = run, append(l.order, id) // entered first: two calls at once are one order too
	l.mu.Unlock()
	if err := run.create(); err != nil {
		return id, fmt.Errorf("store order: %w", err) // the store is dead, and with it this node
	}
	run.proceed(ctx)
	return id, nil
}
