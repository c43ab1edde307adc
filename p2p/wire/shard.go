package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
)

// MaxShards bounds an Epoch.
const MaxShards = 256

// EpochOverlap is how long the topics of an Epoch live on beside those of the next one.
const EpochOverlap = 7 * 24 * time.Hour

// Epoch is how a network splits its documents over topics from a time on. All nodes have the same table, compiled in.
type Epoch struct {
	From   time.Time
	Shards int // a power of two ≤ MaxShards
	// Parts have shards of their own, one after the other from the first on: what they carry is known. Other classes
	// are anywhere, by their names.
	Parts []Part
}

// Part is a class and how many shards it has. Its documents are spread over them by their signers' keys.
type Part struct {
	Class  string
	Shards int
}

// Shard is one topic of an Epoch.
type Shard struct {
	Of uint16 // all topics of the Epoch
	At uint16
}

// Whole is the topic of a network that is not split.
var Whole = Shard{Of: 1}

// String is the end of the topic's name.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Of, s.At) }

// ParseShard reads the end of a topic's name; false: it is none.
func ParseShard(text string) (Shard, bool) {
	of, at, ok := strings.Cut(text, "/")
	o, oerr := strconv.ParseUint(of, 10, 16)
	a, aerr := strconv.ParseUint(at, 10, 16)
	s := Shard{Of: uint16(o), At: uint16(a)}
	return s, ok && oerr == nil && aerr == nil && s.At < s.Of && s.String() == text
}

// place is the first shard of a class and how many it has. That of a class that is not in Parts is the first 4 bytes of
// SHA-256("gpuai/shard/1" 00 class).
func (e Epoch) place(class string) (first uint32, n int) {
	for _, p := range e.Parts {
		if p.Class == class {
			return first, max(p.Shards, 1)
		}
		first += uint32(p.Shards)
	}
	h := sha256.Sum256([]byte("gpuai/shard/1\x00" + class))
	return binary.BigEndian.Uint32(h[:]), 1
}

// shard is the shard of number n of all, modulo Shards.
func (e Epoch) shard(n uint32) Shard {
	of := uint32(max(e.Shards, 1))
	return Shard{Of: uint16(of), At: uint16(n % of)}
}

// Of is the shards of a document, sorted: one of each class, chosen by its signer's key. A document without classes has
// none where there is more than one.
func (e Epoch) Of(signer market.NodeID, classes ...string) (out []Shard) {
	if e.Shards <= 1 {
		return []Shard{Whole}
	}
	for _, c := range classes {
		first, n := e.place(c)
		out = append(out, e.shard(first+uint32(part(signer, n))))
	}
	return sorted(out)
}

// part is a number below n: the first two bytes of a key modulo n.
func part(key market.NodeID, n int) int { return int(binary.BigEndian.Uint16(key[:])) % n }

// Seen is the shards in which a reader finds a class, sorted: at most most of them, chosen by its own key.
func (e Epoch) Seen(reader market.NodeID, class string, most int) (out []Shard) {
	first, n := e.place(class)
	for i := range min(n, most) {
		out = append(out, e.shard(first+uint32((part(reader, n)+i)%n)))
	}
	return sorted(out)
}

// All is every shard of the Epoch.
func (e Epoch) All() (out []Shard) {
	if e.Shards <= 1 {
		return []Shard{Whole}
	}
	for i := range e.Shards {
		out = append(out, Shard{Of: uint16(e.Shards), At: uint16(i)})
	}
	return out
}

func sorted(in []Shard) []Shard {
	slices.SortFunc(in, func(a, b Shard) int { return int(a.At) - int(b.At) })
	return slices.Compact(in)
}

// InForce is the epochs of a table, oldest first, whose topics live now: the newest that has begun, and the one before
// for EpochOverlap. An empty table is one topic for ever.
func InForce(table []Epoch, now time.Time) []Epoch {
	if len(table) == 0 {
		return []Epoch{{Shards: 1}}
	}
	i := len(table) - 1
	for i > 0 && now.Before(table[i].From) {
		i--
	}
	if i > 0 && now.Before(table[i].From.Add(EpochOverlap)) {
		return table[i-1 : i+1]
	}
	return table[i : i+1]
}
