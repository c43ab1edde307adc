package offers

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Bounds of what is held; a document is ≤ 4 KiB, 0.7 KiB as a rule. It has a row for each group of devices.
const (
	maxSet   = 50_000         // rows
	oldPart  = 4              // of five: what those who are known for long may fill
	youthAge = 24 * time.Hour // a signer that is known for longer is displaced by nobody
	someRows = 16             // that are looked at to make room
)

// doc is a verified envelope, and what is known of its signer.
type doc struct {
	id      market.DocID
	seq     uint64
	expires time.Time
	raw     []byte
	classes []string
	rows    int // 0 counts as 1: a withdrawal takes room, too
	homes   []home
	row     *signer
}

// home is a shard that a document belongs to; heard: it has come there.
type home struct {
	at    wire.Shard
	heard bool
}

// stand sets the homes of a document of some signer, by all epochs. A withdrawal, which names no class, belongs where
// it comes; put adds where its signer was before.
func (d *doc) stand(epochs []wire.Epoch, signer market.NodeID, how *entry) {
	for _, e := range epochs {
		for _, at := range e.Of(signer, d.classes...) {
			d.homes = append(d.homes, home{at, how == nil || how.in == at})
		}
	}
	if how != nil && !d.in(how.in) {
		d.homes = append(d.homes, home{how.in, true})
	}
}

func (d *doc) in(at wire.Shard) bool {
	return slices.ContainsFunc(d.homes, func(h home) bool { return h.at == at })
}

// signer is what outlives a signer's newest Offer.
type signer struct {
	rate  *rate.Limiter
	since time.Time
	young int // its place in set.young; -1: it is known for long
}

// set holds the newest envelope per signer; withdrawn Offers stay as tombstones until they expire. It is the one place
// that bounds what is held of strangers: who follows it, such as a book of offers, hears of those that are displaced.
type set struct {
	stays func(market.NodeID) bool // this node, and peers with a lease: displaced by nobody
	gone  func(market.NodeID)      // hears who was displaced; mu is held

	mu   sync.RWMutex
	docs map[market.NodeID]*doc // a pointer: the map's free places are small then
	ids  map[market.DocID]market.NodeID
	// young are those that may have to make room, in no order.
	young []market.NodeID
	max   int
	rows  int // of all
	old   int // of those that are not young
}

func newSet(stays func(market.NodeID) bool, gone func(market.NodeID)) *set {
	return &set{stays: stays, gone: gone, docs: map[market.NodeID]*doc{}, ids: map[market.DocID]market.NodeID{},
		max: maxSet}
}

// allow takes from the rate of a signer; known: there is one.
func (s *set) allow(id market.NodeID, now time.Time) (known, may bool) {
	s.mu.RLock()
	d, known := s.docs[id]
	s.mu.RUnlock()
	return known, known && d.row.rate.AllowN(now, 1)
}

// newer reports whether d would replace what is held of the signer: a larger seq, or on the same seq the lower id, so
// that all nodes agree on one of two equivocating Offers.
func (s *set) newer(signer market.NodeID, seq uint64, id market.DocID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.newerLocked(signer, seq, id)
}

func (s *set) newerLocked(signer market.NodeID, seq uint64, id market.DocID) bool {
	old, ok := s.docs[signer]
	return !ok || seq > old.seq || seq == old.seq && bytes.Compare(id[:], old.id[:]) < 0
}

// twice reports whether another document of the signer has the same seq.
func (s *set) twice(signer market.NodeID, seq uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.docs[signer]
	return ok && d.seq == seq
}

// put keeps d if it is newer and there is room. When the set is full, expired ones make room first, then a random one
// of those that are known for less than a day: a flood of fresh keys fights itself, and new rigs still get in. Nobody
// old is displaced. The old may fill four fifths, so that a flood which waits for a day leaves room for new rigs, too.
func (s *set) put(id market.NodeID, d doc, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.newerLocked(id, d.seq, d.id) {
		return false
	}
	old, known := s.docs[id]
	switch {
	case known:
		delete(s.ids, old.id)
		d.row = old.row
		s.count(old, -1)
		for _, h := range old.homes {
			if len(d.classes) == 0 && !d.in(h.at) {
				d.homes = append(d.homes, home{at: h.at})
			}
		}
	case !s.room(now, max(1, d.rows)):
		return false
	default:
		d.row = &signer{rate: rate.NewLimiter(signerRate, signerBurst), since: now, young: len(s.young)}
		d.row.rate.AllowN(now, 1)
		s.young = append(s.young, id)
	}
	s.docs[id], s.ids[d.id] = &d, id
	s.count(&d, 1)
	s.room(now, 0) // it may have more groups than before
	_, held := s.docs[id]
	return held
}

// room makes room for so many rows more, and reports whether there is.
func (s *set) room(now time.Time, rows int) bool {
	for s.rows+rows > s.max {
		if !s.makeRoom(now) {
			return false
		}
	}
	return true
}

// count adds the rows of a document to the sums, or takes them away.
func (s *set) count(d *doc, sign int) {
	n := sign * max(1, d.rows)
	s.rows += n
	if d.row.young < 0 {
		s.old += n
	}
}

// makeRoom drops an expired document, or a random one of a young signer. It looks at a few rows only.
func (s *set) makeRoom(now time.Time) bool {
	looked := 0
	for id, d := range s.docs {
		if !now.Before(d.expires) {
			s.displace(id)
			return true
		}
		if looked++; looked == someRows {
			break
		}
	}
	for looked = 0; len(s.young) > 0 && looked < someRows; {
		id := s.young[rand.IntN(len(s.young))]
		d := s.docs[id]
		switch {
		case s.stays(id):
			looked++ // there are few of them
		case now.Sub(d.row.since) >= youthAge && (s.old+max(1, d.rows))*(oldPart+1) <= s.max*oldPart:
			s.grown(d)
		default:
			s.displace(id)
			return true
		}
	}
	return false
}

// displace drops a document and says so.
func (s *set) displace(id market.NodeID) {
	s.remove(id)
	s.gone(id)
}

// grown takes a signer from the young.
func (s *set) grown(d *doc) {
	row := d.row
	if row.young < 0 {
		return
	}
	s.old += max(1, d.rows)
	last := len(s.young) - 1
	moved := s.young[last]
	s.docs[moved].row.young = row.young
	s.young[row.young] = moved
	s.young = s.young[:last]
	row.young = -1
}

func (s *set) remove(id market.NodeID) {
	d := s.docs[id]
	s.grown(d)
	s.count(d, -1)
	delete(s.docs, id)
	delete(s.ids, d.id)
}

func (s *set) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range s.docs {
		if !now.Before(d.expires) {
			s.remove(id)
		}
	}
}

func (s *set) raw(id market.DocID) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.docs[s.ids[id]]
	if !ok || d.id != id {
		return nil, false
	}
	return d.raw, true
}

// again reports whether this very envelope is held and comes to one of its homes for the first time.
func (s *set) again(signer market.NodeID, raw []byte, in wire.Shard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.docs[signer]
	if !ok || !bytes.Equal(d.raw, raw) {
		return false
	}
	return hear(d.homes, in)
}

// hear notes that a document has come to one of its homes; false: it had before, or it is none.
func hear(homes []home, in wire.Shard) bool {
	for i := range homes {
		if h := &homes[i]; h.at == in && !h.heard {
			h.heard = true
			return true
		}
	}
	return false
}

// homes are the shards of a signer's newest envelope.
func (s *set) homes(signer market.NodeID) (out []wire.Shard) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d, ok := s.docs[signer]; ok {
		for _, h := range d.homes {
			out = append(out, h.at)
		}
	}
	return out
}

// of is the newest envelope of a signer.
func (s *set) of(signer market.NodeID) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if d, ok := s.docs[signer]; ok {
		return d.raw, true
	}
	return nil, false
}

func (s *set) signers() []market.NodeID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.docs))
}

// sellers counts the signers that sell a class.
func (s *set) sellers(class string) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.docs {
		if slices.Contains(d.classes, class) {
			n++
		}
	}
	return n
}

// list returns the ids of unexpired documents of a shard, sorted.
func (s *set) list(now time.Time, in wire.Shard) []market.DocID {
	s.mu.RLock()
	out := make([]market.DocID, 0, len(s.docs))
	for _, d := range s.docs {
		if now.Before(d.expires) && d.in(in) {
			out = append(out, d.id)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(out, func(a, b market.DocID) int { return bytes.Compare(a[:], b[:]) })
	return out
}

func packIDs(ids []market.DocID) []byte {
	out := make([]byte, 0, 16*len(ids))
	for _, id := range ids {
		out = append(out, id[:]...)
	}
	return out
}

func hashIDs(ids []market.DocID) []byte {
	h := sha256.Sum256(packIDs(ids))
	return h[:]
}
