package offers

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Bounds of the Wants held, each ≤ 1 KiB; of one signer there are market.WantSlots at most.
const (
	maxWants             = 4096
	wantYouth            = 2 * time.Minute // a Want that is known for longer does not make room while others can
	wantBurst            = 6               // newer ones of a slot, and as many a minute
	wantRate  rate.Limit = 6.0 / 60
	wantLook             = 16 // rows that are looked at for one that has expired
)

// WantSink is what a Sink may have beside: it takes verified Wants, also withdrawn ones, each newer than the last of
// its slot. Called from one goroutine, not that of Offers.
type WantSink interface {
	Want(w market.Want, id market.DocID)
}

// wantKey is a place that a newer Want takes.
type wantKey struct {
	signer market.NodeID
	slot   uint8
}

// heldWant is a verified Want, and what is known of its slot.
type heldWant struct {
	want  market.Want
	id    market.DocID
	raw   []byte
	homes []home
	rate  *rate.Limiter
	since time.Time
}

// wants holds the newest Want of each slot; withdrawn ones stay as tombstones until they expire.
type wants struct {
	mu   sync.RWMutex
	rows map[wantKey]*heldWant
	ids  map[market.DocID]wantKey
	max  int
}

func newWants() *wants {
	return &wants{rows: map[wantKey]*heldWant{}, ids: map[market.DocID]wantKey{}, max: maxWants}
}

// newer reports whether w would replace what is held of its slot: as Offers do.
func (s *wants) newer(k wantKey, seq uint64, id market.DocID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newerLocked(k, seq, id)
}

func (s *wants) newerLocked(k wantKey, seq uint64, id market.DocID) bool {
	old := s.rows[k]
	return old == nil || seq > old.want.Seq || seq == old.want.Seq && bytes.Compare(id[:], old.id[:]) < 0
}

// allow takes from the rate of a slot; known: it is held.
func (s *wants) allow(k wantKey, now time.Time) (known, may bool) {
	s.mu.RLock()
	row := s.rows[k]
	s.mu.RUnlock()
	return row != nil, row != nil && row.rate.AllowN(now, 1)
}

// put keeps w if it is newer and there is room.
func (s *wants) put(row *heldWant, now time.Time) bool {
	k := wantKey{row.want.Customer, row.want.Slot}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.newerLocked(k, row.want.Seq, row.id) {
		return false
	}
	row.since = now
	if old := s.rows[k]; old != nil {
		delete(s.ids, old.id)
		row.rate, row.since = old.rate, old.since
	} else {
		if len(s.rows) >= s.max {
			s.makeRoom(now)
		}
		row.rate = rate.NewLimiter(wantRate, wantBurst)
		row.rate.AllowN(now, 1)
	}
	s.rows[k], s.ids[row.id] = row, k
	return true
}

// makeRoom drops an expired Want of a few, else a young one of them, else any: a flood of fresh keys fights itself, and
// new customers still get in.
func (s *wants) makeRoom(now time.Time) {
	var out wantKey
	looked, young := 0, false
	for k, row := range s.rows { // in random order
		if !now.Before(row.want.Expires()) {
			out = k
			break
		}
		if is := now.Sub(row.since) < wantYouth; looked == 0 || is && !young {
			out, young = k, is
		}
		if looked++; looked >= wantLook && young || looked >= 8*wantLook {
			break
		}
	}
	s.remove(out)
}

func (s *wants) remove(k wantKey) {
	delete(s.ids, s.rows[k].id)
	delete(s.rows, k)
}

func (s *wants) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, row := range s.rows {
		if !now.Before(row.want.Expires()) {
			s.remove(k)
		}
	}
}

func (s *wants) of(k wantKey) (w market.Want, id market.DocID, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	row := s.rows[k]
	if row == nil {
		return w, id, false
	}
	return row.want, row.id, true
}

func (s *wants) raw(id market.DocID) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.ids[id]
	if !ok {
		return nil, false
	}
	return s.rows[k].raw, true
}

// again reports whether this very envelope is held and comes to one of its homes for the first time.
func (s *wants) again(k wantKey, raw []byte, in wire.Shard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.rows[k]
	return row != nil && bytes.Equal(row.raw, raw) && hear(row.homes, in)
}

// each calls f for all that have not expired, in no order.
func (s *wants) each(now time.Time, f func(*heldWant)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, row := range s.rows {
		if now.Before(row.want.Expires()) {
			f(row)
		}
	}
}

// HeldWant is a Want with its document's id.
type HeldWant struct {
	market.Want
	ID market.DocID
}

// Wants are those that are held and alive, without the withdrawn ones, oldest first.
func (s *Service) Wants() (out []HeldWant) {
	s.wants.each(s.now(), func(row *heldWant) {
		if !row.want.Withdrawn() {
			out = append(out, HeldWant{row.want, row.id})
		}
	})
	slices.SortFunc(out, func(a, b HeldWant) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// wantHomes are the shards of a Want, by an epoch: those in which any seller of its classes listens.
func wantHomes(e wire.Epoch, w market.Want) (out []wire.Shard) {
	for _, c := range w.Classes {
		for _, at := range e.Seen(w.Customer, c, wire.MaxShards) {
			if !slices.Contains(out, at) {
				out = append(out, at)
			}
		}
	}
	return out
}

// settleWant holds the shards of an own Want for as long as it lives, and says which they are.
func (s *Service) settleWant(w market.Want) (out []wire.Shard) {
	now := s.now()
	for _, e := range wire.InForce(s.epochs, now) {
		for _, at := range wantHomes(e, w) {
			s.hold(at, holding{until: now.Add(w.Lifetime), class: w.Classes[0], own: true})
			out = append(out, at)
		}
	}
	s.stir()
	return out
}

// takeWant is take for a Want.
func (s *Service) takeWant(e wire.Envelope, raw []byte, now time.Time, how *entry) error {
	w, err := wire.ReadWant(e) // 3 and 7
	if err == nil && !s.host.MayReach(w.Reach) {
		err = fmt.Errorf("reach %v names what nobody elsewhere can reach", w.Reach)
	}
	row := &heldWant{want: w, id: e.ID, raw: bytes.Clone(raw)}
	for _, epoch := range s.epochs {
		for _, at := range wantHomes(epoch, w) {
			row.homes = append(row.homes, home{at, how == nil || how.in == at})
		}
	}
	if err == nil && how != nil && !slices.Contains(row.homes, home{how.in, true}) {
		err = fmt.Errorf("no class of the want is of shard %s", how.in)
	}
	if err != nil {
		return errors.Join(errBad, err)
	}
	if w.Issued().After(now.Add(futureSkew)) || !now.Before(w.Expires()) { // 4
		return errClock
	}
	k := wantKey{e.Signer, w.Slot}
	if how != nil && s.wants.again(k, raw, how.in) {
		return nil
	}
	if !s.wants.newer(k, w.Seq, e.ID) { // 5
		return errOld
	}
	if err := e.Verify(s.network); err != nil { // 6
		return errors.Join(errBad, err)
	}
	if how != nil && how.may != nil { // 8
		if known, rate := s.wants.allow(k, now); known && !rate || !known && !how.may(e.Signer) {
			return errLimited
		}
	}
	if !s.wants.put(row, now) {
		return errOld
	}
	s.bids.push(k) // 9
	return nil
}

// tellWant gives the Sinks what is held of a slot now.
func (s *Service) tellWant(k wantKey) {
	w, id, ok := s.wants.of(k)
	if !ok {
		return // expired meanwhile
	}
	s.mu.Lock()
	sinks := s.sinks
	s.mu.Unlock()
	for _, sink := range sinks {
		if ws, ok := sink.(WantSink); ok {
			ws.Want(w, id)
		}
	}
}

// document is the envelope with an id: of an Offer or a Want.
func (s *Service) document(id market.DocID) ([]byte, bool) {
	if raw, ok := s.set.raw(id); ok {
		return raw, true
	}
	return s.wants.raw(id)
}

// list is the ids of all unexpired documents of a shard, sorted.
func (s *Service) list(in wire.Shard) []market.DocID {
	now := s.now()
	out := s.set.list(now, in)
	offers := len(out)
	s.wants.each(now, func(row *heldWant) {
		if slices.ContainsFunc(row.homes, func(h home) bool { return h.at == in }) {
			out = append(out, row.id)
		}
	})
	if len(out) > offers {
		slices.SortFunc(out, func(a, b market.DocID) int { return bytes.Compare(a[:], b[:]) })
	}
	return out
}
