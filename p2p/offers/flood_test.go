package offers

import (
	"runtime"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	rows "github.com/gpuai/gpuai/market/book"
)

// openSet is a set that nobody follows, in which nobody has a place of its own.
func openSet() *set { return newSet(func(market.NodeID) bool { return false }, func(market.NodeID) {}) }

// followed is a set with a book that follows it, as the two stand in a node.
type followed struct {
	*set
	book *rows.Book
}

func (f *followed) put(t *testing.T, id market.NodeID, now time.Time) bool {
	t.Helper()
	o := market.Offer{Provider: id, Seq: uint64(now.UnixMilli()), Lifetime: time.Hour, Mints: []market.Address{{}},
		Fields: market.Fields{market.FieldCPU: 8000, market.FieldRAM: 1 << 16, market.FieldDisk: 1 << 20},
		Groups: []market.DeviceGroup{{Devices: []market.DeviceID{{1}}, Free: 1, Class: "rtx-4090", Name: "RTX 4090",
			Rates: []market.Rate{1000}, Fields: market.Fields{market.FieldVRAM: 24 << 10}}}}
	raw := make([]byte, 400)
	d := doc{id: market.DocID(id[:16]), seq: o.Seq, expires: now.Add(o.Lifetime), raw: raw, rows: len(o.Groups),
		classes: classesOf(o)}
	if !f.set.put(id, d, now) {
		return false
	}
	if _, err := f.book.Put(o, d.id, raw, now); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestBookFlood_TheBookFollows: a node that knows 40,000 rigs for a day is flooded with fresh keys, a million of them
// with GPUAI_LONG=1. No rig that was known, no own Offer and no provider with a lease is lost, in the set and in the
// book; a new rig gets in; and it takes at most 64 MB more.
func TestBookFlood_TheBookFollows(t *testing.T) {
	skipShort(t)
	keys := 60_000
	if long() {
		keys = 1_000_000
	}
	f := &followed{book: rows.New()}
	stays := map[market.NodeID]bool{}
	f.set = newSet(func(id market.NodeID) bool { return stays[id] }, func(id market.NodeID) { f.book.Remove(id) })
	const known, first = 40_000, 1 << 24
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start.Add(youthAge)
	for i := range known {
		if !f.put(t, numbered(i), start) || !f.put(t, numbered(i), now) {
			t.Fatal("a rig does not get in")
		}
	}
	for i := range 20 { // own and leased rows, as young as the flood
		stays[numbered(known+i)] = true
		f.put(t, numbered(known+i), now)
	}
	before := heap()
	for i := range keys {
		f.put(t, numbered(first+i), now)
	}
	grown := (heap() - before) >> 20
	fresh := 0
	for i := range 100 {
		if f.put(t, numbered(2*first+i), now) {
			fresh++
		}
	}
	t.Logf("%d fresh keys, %d MB more, %d rows", keys, grown, f.book.Rows())
	for i := range known + 20 {
		if _, held := f.set.of(numbered(i)); !held {
			t.Fatalf("rig %d is lost to the set", i)
		}
		if _, _, _, held := f.book.Get(numbered(i)); !held {
			t.Fatalf("rig %d is lost to the book", i)
		}
	}
	if len(f.set.docs) != maxSet || f.book.Rows() != maxSet || fresh < 95 || grown > 64 {
		t.Errorf("%d documents, %d rows, %d of 100 new rigs get in, %d MB more", len(f.set.docs), f.book.Rows(), fresh,
			grown)
	}
	runtime.KeepAlive(f)
}

// TestSet_AgedFlood_LeavesRoom: keys that were made a day ago and renewed ever since fill four fifths at most: the rest
// is for new rigs, which displace those of the aged that found no place among the old.
func TestSet_AgedFlood_LeavesRoom(t *testing.T) {
	t.Parallel()
	s, start := openSet(), time.Now()
	s.max = 1000
	put := func(i, rows int, now time.Time) bool {
		id := numbered(i)
		return s.put(id, doc{id: market.DocID(id[:16]), seq: uint64(now.UnixMilli()), rows: rows,
			expires: now.Add(2 * time.Hour)}, now)
	}
	for i := range 500 {
		put(i, 2, start)
	}
	day := start.Add(youthAge)
	for i := range 500 {
		put(i, 2, day)
	}
	in := 0
	for i := range 1000 {
		if put(1000+i, 1, day) {
			in++
		}
	}
	aged := 0
	for i := range 500 {
		if _, held := s.docs[numbered(i)]; held {
			aged++
		}
	}
	if s.rows > 1000 || s.old > 800 || in < 900 || aged < 400 || aged > 410 {
		t.Errorf("%d rows, %d old, %d of 1000 new ones got in, %d aged stay", s.rows, s.old, in, aged)
	}
	s.expire(day.Add(2 * time.Hour))
	if s.rows != 0 || s.old != 0 || len(s.young) != 0 {
		t.Errorf("of an empty set: %d rows, %d old, %d young", s.rows, s.old, len(s.young))
	}
}
