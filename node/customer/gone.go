package customer

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// unheard is the error of a provider that does not answer: who, since when, what becomes of job and money, and what
// shortens it. An error that says something itself stays: a refusal, one of ours, or the end of ctx.
func (o orderRow) unheard(ctx context.Context, err error) error {
	code := market.CodeOf(err)
	if err == nil || ctx.Err() != nil || code != "" && code != market.CodeInternal &&
		code != market.CodePeerUnreachable {
		return err
	}
	if code == market.CodeInternal { // the other side's own fault, which it keeps to itself
		return &market.Error{
			Code: market.CodePeerFailed, Kind: market.KindUnavailable, Op: "ask provider",
			Detail: "provider " + o.Provider.Short() + " answered that something failed in its own node; the job " +
				"goes on as before", Hint: "gpuai show " + o.word(),
		}
	}
	detail, hint := silence(o, time.Now())
	e := &market.Error{Code: market.CodePeerUnreachable, Kind: market.KindUnavailable, Op: "reach provider",
		Detail: detail,
		Hint:   hint, Err: err}
	if o.Lease != nil && o.Lease.State == market.Silent {
		e.Code = market.CodeProviderSilent
	}
	return e
}

// silence says what an unheard provider means for the order o.
func silence(o orderRow, now time.Time) (detail, hint string) {
	detail = "provider " + o.Provider.Short() + " does not answer"
	m := o.Lease
	if m == nil {
		return detail, "gpuai show " + o.word()
	}
	if !m.HeardAt.IsZero() {
		detail += fmt.Sprintf("; last heard %s ago, at %s", max(now.Sub(m.HeardAt), 0).Truncate(time.Second),
			m.HeardAt.Local().Format(time.TimeOnly))
	}
	if !m.State.Live() && m.State != market.Silent {
		return detail + "; the job is " + m.State.String(), "gpuai show " + o.word()
	}
	end := " the order ends and what is left of the deposit returns"
	if o.again() {
		end = " the job is placed anew with what is left of its cap"
	}
	detail += ". The job may run on there and is found again by itself; nothing more is paid meanwhile"
	if m.State == market.Silent {
		detail += ", and at " + m.Since.Add(m.Terms.SilentEnd+m.OfflineFor).Local().Format(time.TimeOnly) + end
	} else {
		detail += ", and if it stays so" + end
	}
	return detail, "wait, or end it now: gpuai stop " + o.word()
}

// runs refuses what needs a running job while there is none. Errors: not-found, not-ready, job-ended.
func (o orderRow) runs(op string) error {
	e := &market.Error{Code: market.CodeNotReady, Kind: market.KindConflict, Op: op, Hint: "gpuai show " + o.word()}
	switch {
	case o.Lease == nil && o.Ended():
		e.Code, e.Kind, e.Detail = market.CodeNotFound, market.KindNotFound,
			"the order "+o.Standing()+" before any job started"
	case o.Lease == nil:
		e.Detail = "the order is " + o.Standing() + ": no job runs yet"
	case o.Lease.State == market.Proposed || o.Lease.State == market.Preparing:
		e.Detail = "the job is " + o.Lease.State.String() + " and does not run yet"
	case o.Lease.State.Live() || o.Lease.State == market.Silent:
		return nil
	default:
		e.Code, e.Detail = market.CodeJobEnded,
			"nothing can run beside it; its end: "+cmp.Or(string(o.Lease.Code), o.Lease.State.String())
	}
	return e
}

// Silence says who is not heard since when and what that means, while the lease is silent; else both are empty.
func (v View) Silence() (detail, hint string) {
	if v.Lease == nil || v.Lease.State != market.Silent {
		return "", ""
	}
	return silence(orderRow{ID: v.ID, Request: v.Request, Purchase: v.buys, Lease: v.Lease}, time.Now())
}

// plainName is a name that a shell takes as one word and no command for an id or a flag.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// word is what a person types for the order: its name if it has one that can be typed, else its id.
func (o *orderRow) word() string {
	if n := o.Request.File.Name; plainName.MatchString(n) && !strings.HasPrefix(n, "order_") &&
		!strings.HasPrefix(n, "lease_") {
		return n
	}
	return o.ID.String()
}
