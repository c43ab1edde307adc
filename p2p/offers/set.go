package offers

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
)

// maxSet bounds the documents held; each is ≤ 4 KiB, 0.7 KiB as a rule.
const maxSet = 50_000

// doc is a verified envelope.
type doc struct {
	id      market.DocID
	seq     uint64
	expires time.Time
	raw     []byte
}

// set holds the newest envelope per signer; withdrawn Offers stay as tombstones until they expire.
type set struct {
	mu   sync.RWMutex
	docs map[market.NodeID]doc
	ids  map[market.DocID]market.NodeID
}

func newSet() *set { return &set{docs: map[market.NodeID]doc{}, ids: map[market.DocID]market.NodeID{}} }

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

// put keeps d if it is newer and there is room. Expired ones make room first; then an unknown signer is refused: nobody
// old is displaced.
func (s *set) put(signer market.NodeID, d doc, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.newerLocked(signer, d.seq, d.id) {
		return false
	}
	old, known := s.docs[signer]
	if !known && len(s.docs) >= maxSet {
		s.expireLocked(now)
		if len(s.docs) >= maxSet {
			return false
		}
	}
	if known {
		delete(s.ids, old.id)
	}
	s.docs[signer], s.ids[d.id] = d, signer
	return true
}

func (s *set) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expireLocked(now)
}

func (s *set) expireLocked(now time.Time) {
	for signer, d := range s.docs {
		if !now.Before(d.expires) {
			delete(s.docs, signer)
			delete(s.ids, d.id)
		}
	}
}

func (s *set) has(id market.DocID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.ids[id]
	return ok
}

func (s *set) raw(id market.DocID) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	signer, ok := s.ids[id]
	return s.docs[signer].raw, ok
}

// of is the newest envelope of a signer.
func (s *set) of(signer market.NodeID) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.docs[signer]
	return d.raw, ok
}

func (s *set) signers() []market.NodeID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.docs))
}

// list returns the ids of unexpired documents, sorted.
func (s *set) list(now time.Time) []market.DocID {
	s.mu.RLock()
	out := make([]market.DocID, 0, len(s.docs))
	for _, d := range s.docs {
		if now.Before(d.expires) {
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
