package customer

import (
	"context"
	"errors"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// StandingInputs: the order is stored, its inputs are not here yet; nothing is asked of anybody.
const StandingInputs = "inputs"

// Limits of orders without their inputs: how many there may be, how long one waits, and how old one must be to make
// room for another.
const (
	maxWaiting  = 64
	inputsWait  = 24 * time.Hour
	yieldInputs = time.Hour
)

// Await stores an order that waits for its inputs, also over restarts; the same Key returns the same order. Supplied
// lets it go on. Errors: as of Place; busy: too many wait.
func (l *orders) Await(ctx context.Context, r Request) (market.OrderID, error) {
	if err := r.Validate(); err != nil {
		return market.OrderID{}, err
	}
	if err := l.c.whenRead(ctx); err != nil {
		return market.OrderID{}, err
	}
	if waiting := l.waiting(); len(waiting) >= maxWaiting {
		if l.c.now().Sub(waiting[0].row.Created) < yieldInputs {
			return market.OrderID{}, &market.Error{Code: market.CodeBusy, Kind: market.KindUnavailable,
				Op:     "create order",
				Detail: "too many orders wait for their inputs", Hint: "send the inputs of the others first"}
		}
		waiting[0].happens(ctx, market.OrderFailed{Why: reasonOf(noInputs)}, nil)
	}
	return l.enter(ctx, r, true)
}

var noInputs = &market.Error{Code: market.CodeInputStalled, Kind: market.KindExpired, Op: "wait for inputs",
	Detail: "they did not come", Hint: "order it again, with another key"}

// Supplied lets an order go on whose inputs are in the spool now. One that went on already is not changed. Errors:
// not-found; conflict: it ended meanwhile; the store's. left is what the sender's archive held and does not travel.
func (l *orders) Supplied(ctx context.Context, id market.OrderID, left spec.Manifest) error {
	r, err := l.find(id.String())
	if err != nil {
		return err
	}
	err = r.apply(ctx, market.InputsHere{}, func(o *orderRow) { o.Files.Inputs.add(left) })
	if errors.Is(err, market.ErrIllegal) {
		return r.mayRepeat()
	}
	return err
}

// Waits returns the request of an order that waits for its inputs. Errors: not-found; conflict: it ended without them.
func (l *orders) Waits(ctx context.Context, id market.OrderID) (q Request, waits bool, err error) {
	if err := l.c.whenRead(ctx); err != nil {
		return q, false, err
	}
	r, err := l.find(id.String())
	if err != nil {
		return q, false, err
	}
	o := r.snapshot()
	return o.Request, o.Stage == market.StageInputs, r.mayRepeat()
}

// mayRepeat refuses inputs of an order that was over before they came.
func (r *orderRun) mayRepeat() error {
	o := r.snapshot()
	if o.Failed && o.Lease == nil && o.Provider == (market.NodeID{}) {
		return &market.Error{Code: market.CodeConflict, Kind: market.KindConflict, Op: "take inputs",
			Detail: "the order is over: " + string(o.End.Code), Hint: "order it again, with another key"}
	}
	return nil
}

// resolve implements filed.
func (l *orders) resolve(ref string) (market.OrderID, error) {
	r, err := l.find(ref)
	if err != nil {
		return market.OrderID{}, err
	}
	return r.row.ID, nil
}

// filed implements filed.
func (l *orders) filed(id market.OrderID) (e SpoolEntry, known bool) {
	l.mu.Lock()
	r := l.runs[id]
	l.mu.Unlock()
	var o orderRow
	if r != nil {
		o = r.snapshot()
	} else if o, known, _ = l.get(id); !known { // a store that fails ends the node
		return e, false
	}
	return SpoolEntry{Name: o.Request.File.Name, Standing: o.Standing(), Over: o.Ended(), Fetched: o.Files.Fetched},
		true
}

// note implements filed.
func (l *orders) note(ctx context.Context, id market.OrderID, f func(*Files)) error {
	r, err := l.find(id.String())
	if err != nil {
		return err
	}
	return r.update(ctx, func(o *orderRow) { f(&o.Files) })
}

// waiting are the orders without their inputs, oldest first.
func (l *orders) waiting() (out []*orderRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.order {
		r := l.runs[id]
		r.mu.Lock()
		if r.row.Stage == market.StageInputs {
			out = append(out, r)
		}
		r.mu.Unlock()
	}
	return out
}

// tidy ends orders whose inputs never came, and forgets those that have been over for long.
func (l *orders) tidy(ctx context.Context) {
	for _, r := range l.waiting() {
		if l.c.now().Sub(r.snapshot().Created) > l.c.cfg.InputsWait {
			r.happens(ctx, market.OrderFailed{Why: reasonOf(noInputs)}, nil)
		}
	}
	if err := l.prune(ctx, l.c.Spool, l.c.now()); err != nil && ctx.Err() == nil {
		l.c.log.Warn("Old orders were not forgotten", "error", err)
	}
}
