package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
)

// count writes a number with its noun: "1 job", "2 jobs".
func count(n int, one, many string) string { return fmt.Sprintf("%d %s", n, plural(n, one, many)) }

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// called is an order as its owner knows it: by name if it has one, with its id.
func called(o api.Order) string {
	if o.Name == "" {
		return o.ID
	}
	return clean(o.Name) + " (" + o.ID + ")"
}

// plainName is a name that a shell takes as one word, and no command takes for an id or a flag.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// word is what a person types for an order: its name if it has one that can be typed, else its id.
func word(o api.Order) string {
	if plainName.MatchString(o.Name) && !strings.HasPrefix(o.Name, "order_") && !strings.HasPrefix(o.Name, "lease_") {
		return o.Name
	}
	return o.ID
}

// sayOrders tells what a list of orders leaves open: that there is none, and what a silent provider means.
func (a *App) sayOrders(list []api.Order, all bool) {
	switch {
	case len(list) == 0 && all:
		a.say("no orders yet; the first: gpuai run")
	case len(list) == 0:
		a.say("no running orders; all of them: gpuai ps -a")
	}
	for _, o := range list {
		if until := waitsUntil(o); until != "" {
			a.say("%s waits for a rig until %s: %s", called(o), until, or(clean(o.Waits), "it asks for quotes"))
		}
		if o.State == "silent" && !o.Ended() {
			a.say("%s: %s (%s)", called(o), clean(o.Detail), clean(o.Hint))
		}
	}
}

// waitsUntil is how long an order waits for a rig, as it was told; empty for others.
func waitsUntil(o api.Order) string {
	if o.WaitsUntil == nil {
		return ""
	}
	return o.WaitsUntil.Local().Format(time.DateTime)
}

// unheardAfter is how long a provider may be unheard before people are told: receipts and answers come every few
// seconds.
const unheardAfter = 12 * time.Second

// jobOver: the job itself has ended, whatever its order and its money still wait for.
func jobOver(o api.Order) bool {
	return o.Ended() || slices.Contains([]string{"releasing", "closing", "ended", "refused", "lapsed"}, o.State)
}

// next is what a person does now.
func next(o api.Order) string {
	switch {
	case o.State == "silent" && !o.Ended():
		return or(o.Hint, "gpuai stop "+word(o))
	case !jobOver(o) && o.ReadyAt != nil:
		return "gpuai logs -f " + word(o) + ", gpuai stop " + word(o)
	case !jobOver(o):
		return "wait, or: gpuai stop " + word(o)
	case !settled(o):
		return "wait: the job has ended, what is not spent is on its way back"
	case o.OutputsReady && toFetch(o):
		return "gpuai outputs " + word(o)
	case o.OutputsReady:
		return "gpuai outputs " + word(o) + " DIR"
	case o.Hint != "" && o.Hint != "gpuai show "+o.ID:
		return o.Hint
	}
	return "gpuai receipt " + word(o)
}

// ledgerWatch tells once, while a refund is waited for, that the ledger does not answer: nothing else is wrong then.
type ledgerWatch struct {
	a     *App
	c     *api.Client
	since time.Time
	told  bool
}

// ledgerPatience is how long a refund may take before the ledger is looked at.
const ledgerPatience = 3 * time.Second

func (l *ledgerWatch) look(ctx context.Context, o api.Order) {
	if l.since.IsZero() {
		l.since = time.Now()
	}
	if l.told || time.Since(l.since) < ledgerPatience {
		return
	}
	l.told = true
	if _, err := l.c.Wallet(ctx); market.CodeOf(err) != market.CodeChainUnreachable {
		return
	}
	what := "the job stops all the same"
	if jobOver(o) {
		what = "the job has ended"
	}
	l.a.say("the ledger does not answer: %s, and what is not spent returns once it does (gpuai doctor --only chain)",
		what)
}
