package customer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/shelf"
	"github.com/gpuai/gpuai/node/store"
)

// An order that is over, whose money and log are home, leaves memory: in one Change its row and its lease's tick move
// to the archive, where it is found by what names it, for 90 days after its end. What all of them together have cost is
// a row that stays.

// archive is the orders that have left memory. It keeps nothing but the sums; all methods are safe for any goroutine.
type archive struct {
	db   *store.Store
	kick chan struct{} // wakes tend
}

// shelved is where the rows lie, in the order in which the orders were placed.
var shelved = shelf.Shelf{Rows: store.BucketOwnPast, Times: store.BucketOwnTimes}

// Limits of the archive: how many orders leave in one Change, how many hits a word may have, and how long the ledger
// keeps what it knows of a transaction.
const (
	leaveAtOnce = 32
	maxHits     = 100
	ledgerKnows = 25 * time.Hour
)

// Spent is what orders have cost.
type Spent struct {
	Paid  market.Amount `json:"paid"`
	Costs Costs         `json:"costs"`
}

var keySpent = []byte("own_spent")

// words are what a past order is found by, each with a 0 behind it: texts that begin an id, "=" and its name, "#" and a
// label.
func (o *orderRow) words() (out [][]byte) {
	add := func(word string, key ...byte) { out = append(out, append(append([]byte(word), 0), key...)) }
	add(o.ID.String(), o.ID[:]...)
	if o.Lease != nil {
		add(o.Lease.ID.String(), o.ID[:]...)
	}
	if o.Request.File.Name != "" {
		add("="+o.Request.File.Name, shelf.KeyOf(o.Created, o.ID)...)
	}
	for k, v := range o.Request.File.Labels {
		add("#"+k+"="+v, shelf.KeyOf(o.Created, o.ID)...)
	}
	return out
}

// put moves an order here, in c, and returns its row.
func (a *archive) put(c *store.Change, o *orderRow) []byte {
	var tick []byte
	c.Deletes = append(c.Deletes, store.Ref{Bucket: bucketOrders, Key: o.ID[:]})
	if o.Lease != nil {
		p := o.tick()
		tick = p.Value
		c.Deletes = append(c.Deletes, store.Ref{Bucket: bucketTicks, Key: p.Key})
	}
	value := append(binary.AppendUvarint(nil, uint64(len(tick))), tick...)
	value = append(value, store.Row(o)...)
	shelved.Put(c, o.Created, o.ID, value)
	for _, w := range o.words() {
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketOwnWords, Key: w, Value: []byte{1}})
	}
	return value
}

// read decodes what put has written.
func (a *archive) read(b []byte) (orderRow, error) {
	n, at := binary.Uvarint(b)
	if at <= 0 || n > uint64(len(b)-at) {
		return orderRow{}, rows.ErrRow
	}
	tick, row := b[at:at+int(n)], b[at+int(n):]
	return readOrder(row, func(id market.LeaseID) (rows.Tick, error) {
		return rows.DecodeTick(id, market.CustomerSide, tick)
	})
}

// get reads an order; false: it is not here. Errors: the store's; a row that is none.
func (a *archive) get(id market.OrderID) (o orderRow, found bool, err error) {
	o, b, err := a.row(id)
	return o, b != nil, err
}

// row is get with the row itself; nil: the order is not here.
func (a *archive) row(id market.OrderID) (o orderRow, b []byte, err error) {
	if b, err = a.db.Get(store.BucketOwnPast, id[:]); err != nil || b == nil {
		return o, nil, err
	}
	if o, err = a.read(b); err != nil {
		return o, nil, fmt.Errorf("past order %s: %w", id, err)
	}
	return o, b, nil
}

// named lists the orders, at most maxHits, that an id, the beginning of one, or a name names. "-" is the newest.
func (a *archive) named(ref string) (ids []market.OrderID, err error) {
	if ref == "-" {
		list, _, err := shelved.Page(a.db, nil, 1, true)
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids, err
	}
	if ref == "" {
		return nil, nil
	}
	for name, word := range []string{ref, "=" + ref + "\x00"} {
		keys, err := a.db.Page(store.BucketOwnWords, []byte(word), maxHits, false)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if !bytes.HasPrefix(k.Key, []byte(word)) || name == 0 && k.Key[0] < 'a' { // a name or a label
				break
			}
			id := market.OrderID(k.Key[len(k.Key)-len(market.OrderID{}):])
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// page lists at most n orders as shelf.Page does; word: only those that it finds, "": all.
func (a *archive) page(word string, after []byte, n int, backwards bool) (list []orderRow, next []byte, err error) {
	var found []shelf.Row
	if word == "" {
		found, next, err = shelved.Page(a.db, after, n, backwards)
	} else {
		found, next, err = a.found(word, after, n, backwards)
	}
	for i := 0; err == nil && i < len(found); i++ {
		var o orderRow
		if o, err = a.read(found[i].Value); err != nil {
			err = fmt.Errorf("past order %s: %w", market.OrderID(found[i].ID), err)
		}
		list = append(list, o)
	}
	return list, next, err
}

// found is shelf.Page among the orders with a name or a label.
func (a *archive) found(text string, after []byte, n int, backwards bool) (list []shelf.Row, next []byte, err error) {
	word := append([]byte(text), 0)
	begin := append(bytes.Clone(word), after...)
	if backwards && after == nil {
		begin = append(begin, bytes.Repeat([]byte{0xff}, 9)...)
	}
	keys, err := a.db.Page(store.BucketOwnWords, begin, n, backwards)
	for i := 0; err == nil && i < len(keys); i++ {
		key, ok := bytes.CutPrefix(keys[i].Key, word)
		if !ok {
			return list, nil, nil
		}
		r := shelf.Row{Key: key}
		copy(r.ID[:], key[len(key)-len(r.ID):])
		if r.Value, err = a.db.Get(store.BucketOwnPast, r.ID[:]); r.Value != nil {
			list = append(list, r)
		}
		if i == n-1 {
			next = key
		}
	}
	return list, next, err
}

// Spent is what the orders that have left memory have cost. Errors: the store's; a row that is none.
func (a *archive) Spent() (s Spent, err error) {
	b, err := a.db.Get(store.BucketMeta, keySpent)
	if err != nil || b == nil {
		return s, err
	}
	return s, store.Unrow(b, &s)
}

// servedBy is the time that leases of orders that have left memory have paid to a provider, in ms.
func (a *archive) servedBy(p market.NodeID) uint64 {
	b, err := a.db.Get(store.BucketOwnServed, p[:])
	if err != nil || len(b) != 8 {
		return 0 // it counts as unknown: less is signed ahead
	}
	return binary.BigEndian.Uint64(b)
}

// count adds what an order has cost, and paid to its provider, to the sums.
func (a *archive) count(sum *Spent, served map[market.NodeID]uint64, v *View) {
	sum.Paid += v.Cost()
	sum.Costs.Network += v.Costs.Network
	sum.Costs.ClaimFee += v.Costs.ClaimFee
	sum.Costs.Storage += v.Costs.Storage
	if ms := paidMS(v.Lease); ms > 0 {
		if _, ok := served[v.Provider]; !ok {
			served[v.Provider] = a.servedBy(v.Provider)
		}
		served[v.Provider] += ms
	}
}

// prune forgets orders that ended more than shelf.Life ago. One whose outputs still wait in the spool stays.
func (a *archive) prune(ctx context.Context, s *Spool, now time.Time) error {
	return shelved.Prune(ctx, a.db, now, func(r shelf.Row) (refs []store.Ref, ok bool, err error) {
		o, err := a.read(r.Value)
		if err != nil {
			return nil, false, fmt.Errorf("past order %s: %w", market.OrderID(r.ID), err)
		}
		if _, err := os.Stat(s.Outputs(o.ID)); err == nil || now.Sub(o.Since) < shelf.Life {
			return nil, false, nil
		}
		for _, w := range o.words() {
			refs = append(refs, store.Ref{Bucket: store.BucketOwnWords, Key: w})
		}
		return refs, true, os.RemoveAll(s.path(o.ID, ""))
	})
}

// look has orders leave that may.
func (a *archive) look() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// tend lets orders leave until ctx ends. What may be the last thing that happens to one is an event, or a look.
func (a *archive) tend(ctx context.Context, l *orders) {
	for {
		changed := a.db.EventsChanged()
		a.leave(ctx, l)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-a.kick:
		}
	}
}

// leave lets the orders go from memory that nothing is to be done for any more.
func (a *archive) leave(ctx context.Context, l *orders) {
	all, unsettled := l.all(), map[market.ChannelID]bool{}
	for _, r := range all {
		o := r.snapshot()
		unsettled[o.Channel] = unsettled[o.Channel] || !o.Home
		for _, a := range o.Lost {
			unsettled[a.Channel] = unsettled[a.Channel] || !a.Home
		}
	}
	var over []*orderRun
	for _, r := range all {
		if r.isOver(ctx, unsettled) {
			over = append(over, r)
		}
	}
	for chunk := range slices.Chunk(over, leaveAtOnce) {
		if err := a.shelve(l, chunk); err != nil {
			if ctx.Err() == nil {
				l.c.log.Warn("Orders that are over were not put away", "error", err) // the next look tries again
			}
			return
		}
	}
}

// isOver reports that nothing is to be done for an order any more, and that nothing of it changes. unsettled are the
// channels that have not paid all that used them.
func (r *orderRun) isOver(ctx context.Context, unsettled map[market.ChannelID]bool) bool {
	if l := r.log.opened(); l != nil && !l.State().Over || r.busies() {
		return false
	}
	r.mu.Lock()
	o, p := r.row, r.kept.purchase
	behind := r.behind()
	r.mu.Unlock()
	if behind || p.Stage != market.StageOver || p.Lingers || o.Stage != market.StageOver {
		return false
	}
	forgotten := r.c.now().Sub(o.Since) > ledgerKnows
	if slices.ContainsFunc(o.Costs, func(k cost) bool { return !k.Done && !forgotten }) {
		return false
	}
	gone := func(id market.ChannelID) bool {
		if ch := r.c.Of(id); ch != nil && ch.Account().Phase != escrow.PhaseLost && unsettled[id] {
			return false
		}
		return r.c.Reclaimed(ctx, id)
	}
	return gone(o.Channel) && !slices.ContainsFunc(o.Lost, func(a market.Attempt) bool { return !gone(a.Channel) })
}

// shelve moves orders to the archive. Errors: the store's.
func (a *archive) shelve(l *orders, runs []*orderRun) error {
	sum, err := a.Spent()
	if err != nil {
		return err
	}
	served := map[market.NodeID]uint64{}
	views := make([]View, len(runs))
	for i, r := range runs {
		views[i] = r.view()
	}
	err = l.c.Queue(func(c *store.Change) {
		for i, r := range runs {
			r.mu.Lock()
			r.past = a.put(c, &r.row) // what is said of it from now on is said there
			r.mu.Unlock()
			a.count(&sum, served, &views[i])
		}
		c.Puts = append(c.Puts, store.Put{Bucket: store.BucketMeta, Key: keySpent, Value: store.Row(sum)})
		for p, ms := range served {
			c.Puts = append(c.Puts, store.Put{Bucket: store.BucketOwnServed, Key: p[:],
				Value: binary.BigEndian.AppendUint64(nil, ms)})
		}
	})
	if err != nil {
		for _, r := range runs {
			r.mu.Lock()
			r.past = nil
			r.mu.Unlock()
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range runs {
		delete(l.runs, r.row.ID)
	}
	l.order = slices.DeleteFunc(l.order, func(id market.OrderID) bool { return l.runs[id] == nil })
	return nil
}
