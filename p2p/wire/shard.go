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
	// Parts are the classes that one topic could not carry: their documents are spread by their signers' keys.
	Parts map[string]int
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

// shard is where a part of a class belongs: the first 4 bytes of SHA-256("gpuai/shard/1" 00 class), plus the part,
// modulo Shards. The parts of a class lie side by side, so that no shard gets two.
func (e Epoch) shard(class string, part int) Shard {
	if e.Shards <= 1 {
		return Whole
	}
	h := sha256.Sum256([]byte("gpuai/shard/1\x00" + class))
	n := binary.BigEndian.Uint32(h[:]) + uint32(part)
	return Shard{Of: uint16(e.Shards), At: uint16(n % uint32(e.Shards))}
}

// part is the part of a class that a key is in: its first two bytes modulo their number.
func (e Epoch) part(key market.NodeID, class string) int {
	return int(binary.BigEndian.Uint16(key[:])) % max(e.Parts[class], 1)
}

// Of is the shards of a document, sorted: those of its classes, of a class in Parts the one that its signer's key
// gives. A document without classes has none where there is more than one.
func (e Epoch) Of(signer market.NodeID, classes ...string) (out []Shard) {
	if e.Shards <= 1 {
		return []Shard{Whole}
	}
	for _, c := range classes {
		out = append(out, e.shard(c, e.part(signer, c)))
	}
	return sorted(out)
}

// Seen is the shards in which a reader finds a class, sorted: of a class in Parts at most most, chosen by its own key.
func (e Epoch) Seen(reader market.NodeID, class string, most int) (out []Shard) {
	n := max(e.Parts[class], 1)
	for i := range min(n, most) {
		out = append(out, e.shard(class, (e.part(reader, class)+i)%n))
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
