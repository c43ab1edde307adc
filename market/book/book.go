// Package book keeps the offers a node has heard of and matches orders against them, with an explanation of every
// rejection.
//
// Invariants: one offer per provider, the newest; a withdrawn offer stays as a tombstone until it expires, so an older
// copy cannot bring it back; a Match never changes the book, and finds through the index what a look at every offer
// finds; each rig counts once in an Explanation, so its counts add up.
// Concurrency: none inside; the caller holds its lock, shared for Match and Offers, exclusive for the rest.
// Persistence: none; offers are heard again after a restart. Next: Match in match.go, the index in index.go and
// pick.go and narrow.go, Explanation in explain.go.
package book

import (
	"container/heap"
	"errors"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Limits and times of the book.
const (
	MaxLifetime = 2 * time.Hour
	MaxLimit    = 200 // candidates of one Match

	hideWindow = time.Hour // two failures within it hide a provider
	hideFor    = 10 * time.Minute
	relayedFor = 10 * time.Minute // a path is tried again then
	maxGroups  = 8
)

// ErrOld reports an offer that is no newer than the one held, or has expired.
var ErrOld = errors.New("offer is not newer")

// Change says what a Put or Expire did to the book.
type Change struct {
	Added, Changed, Removed bool
}

// Observation is what this node saw of a provider. Zero fields are unknown. Failed: an order that it lost, with the
// code of why; Well: one that it did not lose.
type Observation struct {
	At     time.Time
	Failed bool
	Well   bool
	Why    string
	RTT    time.Duration
	Ready  time.Duration // order to Ready, last lease
	Score  uint64        // parts per million of leases that ended well, 0 = unknown
	Uptime uint64        // parts per million, 0 = unknown
}

type entry struct {
	offer     market.Offer
	id        market.DocID
	raw       []byte
	expires   time.Time
	firstSeen time.Time
	local     market.Fields
	failed    time.Time // last failure
	why       string    // its code
	hidden    time.Time // until
	relayed   time.Time // until then known to be reached over a relay only
	index     int       // in Book.entries
	due       int       // in Book.expiry
	at        []row     // in Book.index
}

// tooNew: it has a critical field that this version does not know.
func (e *entry) tooNew() bool {
	return slices.ContainsFunc(e.offer.Critical, func(id market.FieldID) bool { _, known := id.Info(); return !known })
}

// a tombstone takes a row too, else withdrawals grow without bound
func (e *entry) rows() int { return max(1, len(e.offer.Groups)) }

// Book is the table of offers. The zero value is not usable.
type Book struct {
	rows       int
	byProvider map[market.NodeID]*entry
	entries    []*entry
	expiry     expiry
	hidden     map[*entry]bool
	relayed    map[*entry]bool
	index      index
	enough     int // enoughRows; tests make it small
	often      int // boundEvery; the same
}

// expiry is a heap of all entries, the first that expires on top.
type expiry []*entry

func (x expiry) Len() int           { return len(x) }
func (x expiry) Less(i, j int) bool { return x[i].expires.Before(x[j].expires) }
func (x expiry) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].due, x[j].due = i, j
}

// Push implements heap.Interface.
func (x *expiry) Push(e any) {
	e.(*entry).due = len(*x)
	*x = append(*x, e.(*entry))
}

// Pop implements heap.Interface.
func (x *expiry) Pop() any {
	last := (*x)[len(*x)-1]
	*x = (*x)[:len(*x)-1]
	return last
}

// each calls f for what has expired.
func (x expiry) each(now time.Time, f func(*entry)) {
	var below func(i int)
	below = func(i int) {
		if i < len(x) && !x[i].expires.After(now) {
			f(x[i])
			below(2*i + 1)
			below(2*i + 2)
		}
	}
	below(0)
}

// New returns an empty book. How much it holds is bounded by who feeds it, and calls Remove.
func New() *Book {
	return &Book{byProvider: map[market.NodeID]*entry{}, hidden: map[*entry]bool{},
		relayed: map[*entry]bool{}, enough: enoughRows, often: boundEvery}
}

// Put takes a verified offer with its document id and envelope. Errors: ErrOld, market.ErrRange for a shape
// that wire must not have let through.
func (b *Book) Put(o market.Offer, id market.DocID, raw []byte, now time.Time) (Change, error) {
	if err := check(o); err != nil {
		return Change{}, err
	}
	old := b.byProvider[o.Provider]
	if old != nil && o.Seq <= old.offer.Seq {
		return Change{}, ErrOld
	}
	expires := now.Add(o.Lifetime)
	if issued := time.UnixMilli(int64(o.Seq)); issued.Before(now) { // a clock ahead of ours must not prolong the life
		expires = issued.Add(o.Lifetime)
	}
	if !expires.After(now) {
		return Change{}, ErrOld
	}
	e := &entry{offer: o, id: id, raw: raw, expires: expires, firstSeen: now}
	if old == nil {
		e.index = len(b.entries)
		b.entries = append(b.entries, e)
		b.byProvider[o.Provider] = e
		b.rows += e.rows()
		heap.Push(&b.expiry, e)
		b.index.change(e, func() {})
		b.expire(now, 1) // as many leave as come
		return Change{Added: len(o.Groups) > 0}, nil
	}
	wasEmpty := len(old.offer.Groups) == 0
	b.rows += e.rows() - old.rows()
	b.index.change(old, func() { old.offer, old.id, old.raw, old.expires = o, id, raw, expires })
	heap.Fix(&b.expiry, old.due)
	return Change{Added: wasEmpty && len(o.Groups) > 0, Changed: !wasEmpty && len(o.Groups) > 0, Removed: !wasEmpty &&
		len(o.Groups) == 0}, nil
}

func check(o market.Offer) error {
	if o.Lifetime <= 0 || o.Lifetime > MaxLifetime || o.Seq > 1<<53 || len(o.Groups) > maxGroups {
		return market.ErrRange
	}
	for _, g := range o.Groups {
		if len(g.Devices) == 0 || len(g.Devices) > market.MaxDevices || len(g.Rates) > len(o.Mints) ||
			!market.ValidClass(g.Class) ||
			slices.ContainsFunc(g.Rates, func(r market.Rate) bool { return r > maxValue }) {
			return market.ErrRange
		}
	}
	return nil
}

// Remove forgets a provider, also its tombstone.
func (b *Book) Remove(p market.NodeID) {
	e := b.byProvider[p]
	if e == nil {
		return
	}
	last := b.entries[len(b.entries)-1]
	b.entries[e.index], last.index = last, e.index
	b.entries = b.entries[:len(b.entries)-1]
	b.rows -= e.rows()
	delete(b.byProvider, p)
	delete(b.hidden, e)
	delete(b.relayed, e)
	heap.Remove(&b.expiry, e.due)
	b.index.change(e, func() { e.offer.Groups = nil })
}

// Expire forgets what has expired and returns how many offers went.
func (b *Book) Expire(now time.Time) (gone int) { return b.expire(now, len(b.entries)) }

func (b *Book) expire(now time.Time, most int) (gone int) {
	for gone < most && len(b.expiry) > 0 && !b.expiry[0].expires.After(now) {
		b.Remove(b.expiry[0].offer.Provider)
		gone++
	}
	return gone
}

// Offers returns all offers that sell something, in no order. Their slices and maps are shared: read only.
func (b *Book) Offers() []market.Offer {
	out := make([]market.Offer, 0, len(b.entries))
	for _, e := range b.entries {
		if len(e.offer.Groups) > 0 {
			out = append(out, e.offer)
		}
	}
	return out
}

// Get returns a provider's offer, its document id and envelope.
func (b *Book) Get(p market.NodeID) (o market.Offer, id market.DocID, raw []byte, ok bool) {
	e := b.byProvider[p]
	if e == nil || len(e.offer.Groups) == 0 {
		return o, id, nil, false
	}
	return e.offer, e.id, e.raw, true
}

// Rows returns the number of rows in use; one is one device group, or a withdrawal.
func (b *Book) Rows() int { return b.rows }

// Reached notes how this node reaches a provider: over a relay only, or directly. It holds for relayedFor. An unknown
// provider is ignored.
func (b *Book) Reached(p market.NodeID, relayed bool, now time.Time) {
	e := b.byProvider[p]
	switch {
	case e == nil:
	case relayed:
		e.relayed = now.Add(relayedFor)
		b.relayed[e] = true
	default:
		e.relayed = time.Time{}
		delete(b.relayed, e)
	}
}

// Mark notes what this node saw of a provider in its local fields. Two failures within an hour hide it for 10 min after
// the second; an order that ends well shows it again. An unknown provider is ignored.
func (b *Book) Mark(p market.NodeID, o Observation) {
	e := b.byProvider[p]
	if e == nil {
		return
	}
	if o.Failed {
		if !e.failed.IsZero() && o.At.Sub(e.failed) <= hideWindow {
			e.hidden = o.At.Add(hideFor)
			b.hidden[e] = true
		}
		e.failed, e.why = o.At, o.Why
		return
	}
	if o.Well {
		e.failed, e.hidden = time.Time{}, time.Time{}
		delete(b.hidden, e)
	}
	b.index.change(e, func() {
		if e.local == nil {
			e.local = market.Fields{}
		}
		for id, v := range map[market.FieldID]uint64{
			market.FieldRTT:   upTo(o.RTT, time.Millisecond),
			market.FieldReady: upTo(o.Ready, time.Second),
			market.FieldScore: o.Score, market.FieldUptime: o.Uptime,
		} {
			if v > 0 {
				e.local[id] = v
			}
		}
	})
}

// upTo counts whole units and a begun one: what was measured is never 0, which is unknown.
func upTo(d, unit time.Duration) uint64 { return uint64((max(d, 0) + unit - 1) / unit) }
