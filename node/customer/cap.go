package customer

import (
	"context"
	"errors"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// capWait is how long RaiseCap waits for the provider's answer; it is asked on afterwards.
const capWait = 15 * time.Second

// RaiseCap lets a running order cost up to amount, and returns once both machines have it on disk. An amount that is
// not above the present cap changes nothing. Errors: not-found; bad-usage; conflict (no lease, or the job stops or is
// over); version-mismatch (an older provider); timeout (the provider is asked on).
func (c *Customer) RaiseCap(ctx context.Context, ref string, amount market.Amount) error {
	r, err := c.find(ref)
	if err != nil {
		return err
	}
	fail := func(code market.Code, kind market.Kind, detail, hint string) error {
		return &market.Error{Code: code, Kind: kind, Op: "raise cap", Detail: detail, Hint: hint}
	}
	a, o := r.hire.at(), r.snapshot()
	show := "gpuai show " + o.ID.String()
	if amount == 0 {
		return fail(market.CodeBadUsage, market.KindInvalid, "a cap is an amount of SOL", "gpuai cap --help")
	}
	if a == nil || o.Lease == nil {
		return fail(market.CodeConflict, market.KindConflict, "the order has no lease now", show)
	}
	if s := a.Lease().State; !s.Live() && s != market.Silent {
		return fail(market.CodeConflict, market.KindConflict, "the job is "+s.String(), show)
	}
	before := o.Terms.Budget - o.Left() // what lost attempts have of it
	if amount <= a.Lease().Limit()+before {
		return nil
	}
	amount -= before
	if err := a.Do(ctx, market.CapAsked{Cap: amount}); err != nil {
		if errors.Is(err, market.ErrIllegal) || market.CodeOf(err) == market.CodeBusy {
			return fail(market.CodeConflict, market.KindConflict, "the job is "+a.Lease().State.String(), show)
		}
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, capWait)
	defer cancel()
	m, err := a.Await(wctx, func(m market.Lease) bool { return m.Limit() >= amount || m.CapRefused != "" })
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fail(market.CodeTimeout, market.KindUnavailable, "the provider has not answered yet; it is asked on",
			show)
	case m.Limit() >= amount:
		return nil
	case m.CapRefused == market.CodeMalformed:
		return fail(market.CodeVersionMismatch, market.KindConflict,
			"the provider's node is older and takes no new cap",
			"stop the job before its cap, and run it again with a higher --max-total")
	}
	return fail(market.CodeConflict, market.KindConflict, "the provider refused the cap: "+string(m.CapRefused), show)
}

// capRaise performs the effect of RaiseCap.
type capRaise struct{ h *hire }

// raise performs the effect: the provider first, then our own books, then the machine.
func (k capRaise) raise(ctx context.Context, o orderRow, m market.Lease, to market.Amount) error {
	raw, err := wire.SealAmend(k.h.r.c.cfg.Key, k.h.r.c.cfg.Network,
		market.Amend{Lease: m.ID, Cap: to, At: k.h.r.c.now().Truncate(time.Millisecond)})
	if err != nil {
		return err
	}
	err = k.h.r.c.net.Amend(ctx, o.Provider, raw)
	var refusal *market.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Kind != market.KindUnavailable:
		k.h.event(ctx, market.CapAnswered{Cap: to, Code: refusal.Code})
		return nil
	case err != nil:
		if m.State != market.Silent && !m.State.Live() {
			return nil // it is over; nothing is to be raised
		}
		return errors.New(err.Error()) // no refusal: it is tried again
	}
	ch := k.h.r.c.Of(o.Channel)
	if ch == nil {
		return errors.New("no channel")
	}
	if err := ch.RaiseCap(ctx, m.ID, to); err != nil {
		return err
	}
	k.h.event(ctx, market.CapAnswered{Cap: to})
	return nil
}

// note follows the lease's cap in the order's row.
func (k capRaise) note(o *orderRow, m market.Lease) {
	budget := m.Terms.Budget + o.Terms.Budget - o.Left()
	if budget <= o.Terms.Budget {
		return
	}
	next, _, err := o.Purchase.Apply(market.BudgetRaised{Budget: budget}, k.h.r.c.now())
	if err != nil {
		return
	}
	o.Purchase, o.Request.File.Limits.MaxTotal = next, budget
	o.Steps = append(o.Steps, Step{At: k.h.r.c.now(), Phase: "cap", Detail: "raised to " + budget.SOL() + " SOL"})
}
