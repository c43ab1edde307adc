// Package reply answers the Wants of customers that this rig can serve: it opens a stream to them and says so, with the
// rig's own Offer; the Order that comes back is quoted as any other.
//
// Invariants: a Want is answered once, a customer every 10 s at most; nobody is dialled but at the addresses that it
// has signed, and no address that others have aimed at in vain; what waits is bounded, and so is what is sent at once.
// Concurrency: Replier's methods are safe for any goroutine; Serve owns all that it starts. Persistence: none. Next:
// Replier.Want.
package reply

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/p2p/offers"
	"github.com/gpuai/gpuai/p2p/streams"
)

// Bounds of what waits and of what is remembered.
const (
	maxWaiting = 512
	maxKnown   = 4096
	atOnce     = 4 // replies that are under way
	tries      = 3 // of one Want that is refused for a while
	failFor    = time.Hour
	maxFails   = 3 // of one IP within it
)

// Replies are spread: all rigs of a class hear of a Want at the same time, and one customer takes so many a second.
const (
	spreadEach  = 50 * time.Millisecond // per rig that is known to sell the class
	spreadLeast = 100 * time.Millisecond
	spreadMost  = 30 * time.Second
)

// Net is how customers are reached.
type Net interface {
	Reply(ctx context.Context, to market.NodeID, reach []string, want market.DocID, offer []byte,
		quoter streams.Quoter) error
	// Wants are those that this node has heard of; Sellers is how many rigs of a class it knows.
	Wants() []offers.HeldWant
	Sellers(class string) int
}

// Replier answers Wants. Use New, attach it to the Offers service, then Serve.
type Replier struct {
	id     market.NodeID
	local  bool // all share one address: it is never suspect
	net    Net
	quoter streams.Quoter
	log    *slog.Logger
	kick   chan struct{}

	mu      sync.Mutex
	own     market.Offer
	raw     []byte
	waiting map[place]*waiting
	done    map[market.DocID]time.Time // until when each needs no answer
	last    map[market.NodeID]time.Time
	failed  map[string][]time.Time // by IP
}

// place is where a newer Want of a customer stands.
type place struct {
	customer market.NodeID
	slot     uint8
}

type waiting struct {
	want  market.Want
	id    market.DocID
	at    time.Time
	tried int
}

// New returns a replier that answers nothing yet. local: the network is one machine's.
func New(id market.NodeID, local bool, net Net, quoter streams.Quoter, log *slog.Logger) *Replier {
	return &Replier{id: id, local: local, net: net, quoter: quoter, log: log, kick: make(chan struct{}, 1),
		waiting: map[place]*waiting{}, done: map[market.DocID]time.Time{}, last: map[market.NodeID]time.Time{},
		failed: map[string][]time.Time{}}
}

// Offer implements offers.Sink: with each change of the own Offer, other Wants can be served.
func (r *Replier) Offer(o market.Offer, raw []byte) {
	if o.Provider != r.id {
		return
	}
	r.mu.Lock()
	r.own, r.raw = o, raw
	r.mu.Unlock()
	for _, w := range r.net.Wants() {
		r.Want(w.Want, w.ID)
	}
}

// Want implements offers.WantSink: what this rig can serve now waits for its turn.
func (r *Replier) Want(w market.Want, id market.DocID) {
	now := time.Now()
	if w.Customer == r.id {
		return
	}
	at := place{w.Customer, w.Slot}
	wait := spreadLeast + r.spread(w)
	r.mu.Lock()
	if old := r.waiting[at]; old != nil && old.id == id {
		r.mu.Unlock()
		return
	}
	delete(r.waiting, at)
	if _, done := r.done[id]; !done && len(w.Reach) > 0 && len(r.waiting) < maxWaiting && r.serves(w, now) {
		r.waiting[at] = &waiting{want: w, id: id, at: now.Add(wait)}
	}
	r.mu.Unlock()
	r.stir()
}

func (r *Replier) stir() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// spread is this rig's own random part of the time in which all rigs of a class answer.
func (r *Replier) spread(w market.Want) time.Duration {
	rigs := 0
	for _, c := range w.Classes {
		rigs += r.net.Sellers(c)
	}
	return rand.N(min(max(time.Duration(rigs)*spreadEach, spreadLeast), spreadMost))
}

// serves reports whether the own Offer serves a Want now. Caller holds mu.
func (r *Replier) serves(w market.Want, now time.Time) bool {
	_, ok, _ := Fits(r.own, w, now)
	return ok
}

// Fits tells whether an own Offer serves a Want at this moment, at which rate, and else what is in the way. An Offer
// that is only rented fits not now.
func Fits(own market.Offer, w market.Want, now time.Time) (rate market.Rate, ok bool, why book.Rejected) {
	if w.Withdrawn() || !now.Before(w.Expires()) {
		return 0, false, why
	}
	most := time.Duration(own.Fields[market.FieldMaxTime]) * time.Second
	if most > 0 && w.MaxDuration > most {
		return 0, false, book.Rejected{Reason: "max_time", Text: "it may last " + w.MaxDuration.String() +
			", your longest lease is " + most.String()}
	}
	return book.Serves(own, book.QueryOfWant(w, false), now)
}

// Serve answers until ctx ends.
func (r *Replier) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, atOnce)
	for ctx.Err() == nil {
		next, at := r.next(time.Now())
		if next != nil {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				defer func() { <-free }()
				r.answer(ctx, next)
			})
			continue
		}
		t := time.NewTimer(max(time.Until(at), 0))
		select {
		case <-ctx.Done():
		case <-r.kick:
		case <-t.C:
		}
		t.Stop()
	}
}

// next takes what is due out of what waits; nil: nothing is before at.
func (r *Replier) next(now time.Time) (next *waiting, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	var key place
	for k, w := range r.waiting {
		if next == nil || w.at.Before(next.at) {
			key, next = k, w
		}
	}
	if next == nil {
		return nil, now.Add(time.Hour)
	}
	if now.Before(next.at) {
		return nil, next.at
	}
	if t := r.last[key.customer].Add(streams.ReplyEvery); now.Before(t) { // another Want of the same customer
		next.at = t
		return nil, now
	}
	delete(r.waiting, key)
	if !r.serves(next.want, now) || r.suspect(next.want.Reach, now) {
		return nil, now // it needs no answer any more; the next one is looked for at once
	}
	r.last[key.customer] = now
	return next, now
}

// forget drops what does not count any more. Caller holds mu.
func (r *Replier) forget(now time.Time) {
	for id, until := range r.done {
		if !now.Before(until) || len(r.done) > maxKnown {
			delete(r.done, id)
		}
	}
	for id, at := range r.last {
		if now.Sub(at) > streams.ReplyEvery || len(r.last) > maxKnown {
			delete(r.last, id)
		}
	}
	for ip, at := range r.failed {
		if now.Sub(at[len(at)-1]) > failFor || len(r.failed) > maxKnown {
			delete(r.failed, ip)
		}
	}
}

// ipOf is the address that is dialled; "" for one through a relay, where nobody else is aimed at.
func ipOf(addr string) string {
	parts := strings.Split(addr, "/")
	if len(parts) < 3 || strings.Contains(addr, "/p2p-circuit") {
		return ""
	}
	return parts[2]
}

// suspect reports that one of the addresses was dialled in vain a few times within the hour. Caller holds mu.
func (r *Replier) suspect(reach []string, now time.Time) bool {
	for _, a := range reach {
		fails := 0
		for _, at := range r.failed[ipOf(a)] {
			if now.Sub(at) <= failFor {
				fails++
			}
		}
		if fails >= maxFails && !r.local {
			return true
		}
	}
	return false
}

// answer sends one reply and notes what came of it.
func (r *Replier) answer(ctx context.Context, w *waiting) {
	r.mu.Lock()
	raw := r.raw
	r.mu.Unlock()
	err := r.net.Reply(ctx, w.want.Customer, w.want.Reach, w.id, raw, r.quoter)
	if ctx.Err() != nil {
		return
	}
	r.log.Debug("Replied to a want", "customer", w.want.Customer, "error", err)
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var refusal *market.Refusal
	at := place{w.want.Customer, w.want.Slot}
	w.tried++
	switch {
	case errors.As(err, &refusal) && refusal.Passes() && w.tried < tries && r.waiting[at] == nil:
		w.at = now.Add(max(refusal.RetryAfter, streams.ReplyEvery) + rand.N(streams.ReplyEvery))
		r.waiting[at] = w
		r.stir()
		return
	case err != nil && refusal == nil:
		for _, a := range w.want.Reach {
			if ip := ipOf(a); ip != "" {
				r.failed[ip] = append(r.failed[ip], now)[max(len(r.failed[ip])+1-maxFails, 0):]
			}
		}
	}
	r.done[w.id] = w.want.Expires()
}
