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

// Bounds of the documents held; each is ≤ 4 KiB, 0.7 KiB as a rule.
const (
	maxSet   = 50_000
	youthAge = 24 * time.Hour // a signer that is known for longer is never displaced
)

// doc is a verified envelope, and what is known of its signer.
type doc struct {
	id      market.DocID
	seq     uint64
	expires time.Time
	raw     []byte
	classes []string
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

// set holds the newest envelope per signer; withdrawn Offers stay as tombstones until they expire.
type set struct {
	mu   sync.RWMutex
	docs map[market.NodeID]*doc // a pointer: the map's free places are small then
	ids  map[market.DocID]market.NodeID
	// young are those that may have to make room, in no order.
	young   []market.NodeID
	max     int
	evicted func() // a document has made room for another
}

func newSet() *set {
	return &set{docs: map[market.NodeID]*doc{}, ids: map[market.DocID]market.NodeID{}, max: maxSet,
		evicted: func() {}}
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
// old is displaced.
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
		for _, h := range old.homes {
			if len(d.classes) == 0 && !d.in(h.at) {
				d.homes = append(d.homes, home{at: h.at})
			}
		}
	case len(s.docs) >= s.max && !s.makeRoom(now):
		return false
	default:
		d.row = &signer{rate: rate.NewLimiter(signerRate, signerBurst), since: now, young: len(s.young)}
		d.row.rate.AllowN(now, 1)
		s.young = append(s.young, id)
	}
	s.docs[id], s.ids[d.id] = &d, id
	return true
}

// makeRoom drops an expired document, or a random one of a young signer. It looks at a few rows only.
func (s *set) makeRoom(now time.Time) bool {
	looked := 0
	for id, d := range s.docs {
		if !now.Before(d.expires) {
			s.remove(id)
			return true
		}
		if looked++; looked == 16 {
			break
		}
	}
	for len(s.young) > 0 {
		id := s.young[rand.IntN(len(s.young))]
		if now.Sub(s.docs[id].row.since) < youthAge {
			s.remove(id)
			s.evicted()
			return true
		}
		s.grown(s.docs[id].row)
	}
	return false
}

// grown takes a signer from the young.
func (s *set) grown(row *signer) {
	if row.young < 0 {
		return
	}
	last := len(s.young) - 1
	moved := s.young[last]
	s.docs[moved].row.young = row.young
	s.young[row.young] = moved
	s.young = s.young[:last]
	row.young = -1
}

func (s *set) remove(id market.NodeID) {
	d := s.docs[id]
	s.grown(d.row)
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
