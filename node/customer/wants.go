package customer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p/wire"
	"github.com/gpuai/gpuai/runtime/spec"
)

// How Wants are published: how long one lives, how long an order must wait before it is told, how long after a start
// one without an address is soon renewed, and how fast they may leave. After a start, orders have wantSettle to wait
// again before what they wanted is withdrawn.
const (
	wantLife   = market.MaxWantLife
	wantAfter  = 3 * time.Second
	wantReach  = 2 * time.Minute
	wantSettle = 30 * time.Second
	wantGap    = 10 * time.Second
	keptWants  = 64 // ids of own Wants that are remembered
)

// wants tells the market what orders wait for: a Want per slot, renewed at half of its life while an order waits for
// it, withdrawn when none does. Equal orders share one. What does not find a slot waits without one.
type wants struct {
	c    *Customer
	kick chan struct{}
	pace *rate.Limiter

	mu    sync.Mutex
	open  map[market.OrderID]wish
	slots [market.WantSlots]slot
	asked []asked // own Wants, the newest last
	seq   uint64
	began time.Time
}

// wish is what one order waits for.
type wish struct {
	want  market.Want
	since time.Time
}

// slot is what was published last under it. renew is zero for one that nobody wants.
type slot struct {
	want  market.Want
	renew time.Time
	used  bool
}

type asked struct {
	id   market.DocID
	slot uint8
}

// wantsRow is on disk before a Want leaves: the last number, and which slots still stand with which classes.
type wantsRow struct {
	Seq   uint64             `json:"Seq"`
	Slots map[uint8][]string `json:"Slots,omitempty"`
}

var keyWants = []byte("wants")

func newWants(c *Customer) *wants {
	return &wants{c: c, kick: make(chan struct{}, 1), open: map[market.OrderID]wish{},
		pace: rate.NewLimiter(rate.Every(wantGap), market.WantSlots)}
}

// load reads what the last start has published. Errors: the store's.
func (w *wants) load() error {
	w.began = time.Now()
	b, err := w.c.db.Get(store.BucketOffers, keyWants)
	if err != nil || b == nil {
		return err
	}
	var row wantsRow
	if err := store.Unrow(b, &row); err != nil {
		return fmt.Errorf("wants: %w", err)
	}
	w.seq = row.Seq
	for i, classes := range row.Slots {
		if i < market.WantSlots && len(classes) > 0 {
			last := market.Want{Seq: row.Seq, Slot: i, Lifetime: wantLife, Classes: classes}
			w.slots[i] = slot{want: last, used: true}
		}
	}
	return nil
}

// stands hears where an order stands: it wants a rig, or does not any more. While a rig that came is being paid for,
// nothing changes.
func (w *wants) stands(p market.Purchase, r *Request) {
	if p.Terms.Wait == 0 || p.Stage == market.StageFunding || p.Stage == market.StageProposing {
		return
	}
	w.mu.Lock()
	_, have := w.open[p.ID]
	is := p.Wants() && r.File.Placement.Want != spec.WantPrivate && len(r.File.Placement.Providers) == 0 &&
		!w.c.cfg.Quiet
	if have != is {
		if want, ok := book.WantOf(w.c.cfg.makeOrder(r, w.c.now())); is && ok {
			w.open[p.ID] = wish{want, time.Now()}
		} else {
			delete(w.open, p.ID)
		}
	}
	w.mu.Unlock()
	if have != is {
		w.stir()
	}
}

func (w *wants) stir() {
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// serve publishes until ctx ends. Wants outlive the node: its orders go on at the next start.
func (w *wants) serve(ctx context.Context) {
	for ctx.Err() == nil {
		var again time.Duration
		if s, at := w.due(time.Now()); s != nil {
			if err := w.publish(ctx, *s); err != nil && ctx.Err() == nil {
				w.c.log.Warn("Want was not published", "error", err)
				again = wantGap
			}
			if again == 0 {
				continue
			}
		} else {
			again = time.Until(at)
		}
		t := time.NewTimer(max(again, time.Millisecond))
		select {
		case <-ctx.Done():
		case <-w.kick:
		case <-t.C:
		}
		t.Stop()
	}
}

// far is a time at which nothing is due.
const far = 24 * time.Hour

// due is the next Want to publish, nil if there is none before at.
func (w *wants) due(now time.Time) (next *market.Want, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at = now.Add(far)
	later := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	wanted := w.wanted(now, later)
	for i := range w.slots {
		s := &w.slots[i]
		j := slices.IndexFunc(wanted, func(x market.Want) bool { return sameWish(x, s.want) })
		switch {
		case !s.used && j < 0:
		case j >= 0 && s.used:
			wanted = slices.Delete(wanted, j, j+1)
			if !now.Before(s.renew) {
				return &s.want, at
			}
			later(s.renew)
		case s.renew.IsZero() && now.Before(w.began.Add(wantSettle)):
			later(w.began.Add(wantSettle)) // of the last start: its order may want it again
		case !now.Before(s.want.Expires()):
			s.used = false // it is forgotten already
		case s.used:
			gone := market.Want{Slot: uint8(i), Classes: s.want.Classes}
			return &gone, at
		}
	}
	for _, x := range wanted {
		for _, last := range []bool{false, true} { // one of the last start's slots only if no other is free
			for i := range w.slots {
				if s := &w.slots[i]; !s.used || last && s.renew.IsZero() {
					x.Slot = uint8(i)
					return &x, at
				}
			}
		}
	}
	return nil, at
}

// wanted is what orders wait for, each once, those that wait longest first; later hears when the next one counts.
// Caller holds mu.
func (w *wants) wanted(now time.Time, later func(time.Time)) (out []market.Want) {
	ids := slices.SortedFunc(maps.Keys(w.open), func(a, b market.OrderID) int {
		return w.open[a].since.Compare(w.open[b].since)
	})
	for _, id := range ids {
		x := w.open[id]
		if ready := x.since.Add(wantAfter); now.Before(ready) {
			later(ready)
			continue
		}
		if !slices.ContainsFunc(out, func(y market.Want) bool { return sameWish(y, x.want) }) {
			out = append(out, x.want)
		}
	}
	return out
}

// sameWish reports whether two Wants ask for the same.
func sameWish(a, b market.Want) bool {
	return a.Devices == b.Devices && a.Mint == b.Mint && a.MaxRate == b.MaxRate && a.MaxDuration == b.MaxDuration &&
		slices.Equal(a.Classes, b.Classes) && slices.EqualFunc(a.Terms, b.Terms,
		func(x, y market.Term) bool { return x.String() == y.String() })
}

// publish signs a Want, or the end of one, and sends it; its number is on disk before it leaves.
func (w *wants) publish(ctx context.Context, x market.Want) error {
	if err := w.pace.Wait(ctx); err != nil {
		return fmt.Errorf("publish want: %w", err)
	}
	x.Reach, x.Lifetime = w.c.net.Addrs(), wantLife
	renew := wantLife/2 - wantLife/20
	if len(x.Reach) == 0 && time.Since(w.began) < wantReach { // right after a start; nobody could reply
		renew = wantReach / 4
	}
	w.mu.Lock()
	x.Seq = max(w.seq+1, uint64(w.c.now().UnixMilli()))
	w.seq = x.Seq
	was := w.slots[x.Slot]
	w.slots[x.Slot] = slot{want: x, renew: time.Now().Add(renew), used: !x.Withdrawn()}
	row := wantsRow{Seq: x.Seq, Slots: map[uint8][]string{}}
	for i, s := range w.slots {
		if s.used {
			row.Slots[uint8(i)] = s.want.Classes
		}
	}
	w.mu.Unlock()
	undo := func(err error) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.slots[x.Slot] = was
		return err
	}
	put := store.Put{Bucket: store.BucketOffers, Key: keyWants, Value: store.Row(row)}
	if err := w.c.db.Commit(ctx, store.Change{Puts: []store.Put{put}}); err != nil {
		return undo(fmt.Errorf("store number of want: %w", err))
	}
	raw, err := wire.SealWant(w.c.cfg.Key, w.c.cfg.Network, x)
	if err != nil {
		return undo(err)
	}
	env, err := wire.Parse(raw, w.c.cfg.Network)
	if err != nil {
		return undo(fmt.Errorf("open own want: %w", err))
	}
	w.mu.Lock()
	w.asked = append(w.asked, asked{env.ID, x.Slot})
	w.asked = w.asked[max(len(w.asked)-keptWants, 0):]
	w.mu.Unlock()
	w.c.log.Info("Want", "slot", x.Slot, "classes", x.Classes, "devices", x.Devices, "lives", x.Lifetime)
	return w.c.net.Publish(ctx, raw)
}

// waiting are the orders that a Want speaks for, oldest first; known: it is or was one of ours.
func (w *wants) waiting(id market.DocID) (orders []market.OrderID, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.asked, func(a asked) bool { return a.id == id })
	if i < 0 {
		return nil, w.began.IsZero() || time.Since(w.began) < market.MaxWantLife // it may be of before the start
	}
	at := w.slots[w.asked[i].slot]
	if !at.used {
		return nil, true
	}
	for id, x := range w.open {
		if sameWish(x.want, at.want) {
			orders = append(orders, id)
		}
	}
	slices.SortFunc(orders, func(a, b market.OrderID) int { return w.open[a].since.Compare(w.open[b].since) })
	return orders, true
}
