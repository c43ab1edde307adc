// Package modeltest is a discrete-event model of a network of rigs and customers, for sizes that real nodes cannot be
// run at: the mesh of gossip with its duplicates and its lazy part, sync, the DHT, and shards as p2p/wire splits them.
//
// Invariants: a run is exact by its seed; what a packet costs is measured on real nodes (Measured), and the model is
// believed only while it agrees with them (TestModel_AgreesWithLibp2p). Concurrency: none. Persistence: none. Next:
// Run, topic.go, spread.go.
package modeltest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Measured is what real nodes send, in bytes of UDP payload: see docs/benchmarks.md.
var Measured = struct {
	Wire      Wire
	Idle      float64 // per connection and second, each way
	Handshake float64 // of one new connection, identify and gossip's first words included, each way
	Look      float64 // one question to a node of the DHT and its answer, both ways together
}{
	Wire: Wire{Packet: 33, Ack: 20}, Idle: 3.1, Handshake: 5000, Look: 2600,
}

// Renewals is how often a rig publishes in a day: at half of an hour's lifetime, and as often again for changes.
const Renewals = 72

// Class is a class of devices and its share of all rigs.
type Class struct {
	Name  string
	Share float64
}

// Options of a run.
type Options struct {
	Rigs, Customers int
	Infra           int
	Epoch           wire.Epoch
	Classes         []Class
	Offer           float64 // bytes of an Offer
	Latency         time.Duration
	Seed            uint64
}

// Load is what one node sends and gets together, bytes a second, by cause.
type Load struct{ Gossip, Sync, DHT, Idle float64 }

// Total is all of it.
func (l Load) Total() float64 { return l.Gossip + l.Sync + l.DHT + l.Idle }

func (l Load) plus(m Load) Load {
	return Load{l.Gossip + m.Gossip, l.Sync + m.Sync, l.DHT + m.DHT, l.Idle + m.Idle}
}

// Result is what a run found.
type Result struct {
	Rig, Customer      Load    // means
	RigMost, BuyerMost float64 // of 99 of 100, in all
	P50, P99           time.Duration
	Copies             float64 // of a document that a node gets
	Largest            int     // subscribers of the largest topic
	Topics             int
	Shards             float64 // held by a customer, mean
}

// Of all connections of a node, as its profile and its look-ups make them.
var (
	rigMember   = member{want: 24, extra: 3 * lookUp, low: 48, high: 96}
	buyerMember = member{want: 12, extra: 0, low: 24, high: 48}
	hubMember   = member{want: 0, low: 1200, high: 1600}
)

// Constants of the DHT.
const (
	lookUp   = 20 // nodes that a look-up ends at
	waste    = 3  // nodes that are asked at each step towards them
	perHour  = 3  // look-ups of a rig: itself, its class, its part of it
	needs    = 3  // classes of a customer
	mostHeld = 2  // parts of a class that a customer holds
)

// Run builds the network and follows documents through each of its topics.
func Run(o Options) Result {
	r := rand.New(rand.NewPCG(o.Seed, 1))
	rigs, buyers := o.settle(r)
	topics := map[wire.Shard][]int{} // members: rigs first, then customers
	for i, held := range slices.Concat(rigs, buyers) {
		for _, at := range held {
			topics[at] = append(topics[at], i)
		}
	}
	loads := make([]Load, o.Rigs+o.Customers)
	var out Result
	var took []time.Duration
	var copies, subscribers float64
	for _, at := range o.Epoch.All() {
		in := topics[at]
		if len(in) < 2 {
			continue
		}
		out.Topics++
		out.Largest = max(out.Largest, len(in))
		t, times := o.topic(in, slices.Concat(rigs, buyers), r)
		sellers := 0
		for _, i := range in {
			if i < o.Rigs {
				sellers++
			}
		}
		perSecond := float64(sellers) * Renewals / 86400
		for k, i := range in {
			loads[i] = loads[i].plus(o.cost(&t.nodes[o.Infra+k], perSecond, messages(len(in))))
			copies += t.nodes[o.Infra+k].got.data / o.wire().document() / messages(len(in))
		}
		subscribers += float64(len(in))
		took = append(took, times...)
	}
	for i := range loads {
		loads[i] = loads[i].plus(o.other(i < o.Rigs))
	}
	slices.Sort(took)
	out.P50, out.P99 = took[len(took)/2], took[len(took)*99/100]
	out.Copies = copies / subscribers
	out.Rig, out.RigMost = mean(loads[:o.Rigs])
	out.Customer, out.BuyerMost = mean(loads[o.Rigs:])
	for _, b := range buyers {
		out.Shards += float64(len(b)) / float64(len(buyers))
	}
	return out
}

func (o Options) wire() Wire {
	w := Measured.Wire
	w.Offer, w.Topic = o.Offer, float64(len("/gpuai/devnet/book/1/256/255"))
	return w
}

// settle gives each rig its class and each customer its classes, and with them their shards.
func (o Options) settle(r *rand.Rand) (rigs, buyers [][]wire.Shard) {
	for range o.Rigs {
		rigs = append(rigs, o.Epoch.Of(nodeID(r), o.draw(r)))
	}
	for range o.Customers {
		me, held := nodeID(r), []wire.Shard{}
		for range needs {
			for _, at := range o.Epoch.Seen(me, o.draw(r), mostHeld) {
				if !slices.Contains(held, at) {
					held = append(held, at)
				}
			}
		}
		buyers = append(buyers, held)
	}
	return rigs, buyers
}

func nodeID(r *rand.Rand) (id market.NodeID) {
	binary.BigEndian.PutUint64(id[:], r.Uint64())
	return id
}

func (o Options) draw(r *rand.Rand) string {
	x := r.Float64()
	for _, c := range o.Classes {
		if x -= c.Share; x < 0 {
			return c.Name
		}
	}
	return o.Classes[0].Name
}

// topic builds one topic, its meeting points first, and spreads documents in it.
func (o Options) topic(in []int, held [][]wire.Shard, r *rand.Rand) (*topic, []time.Duration) {
	members := make([]member, 0, o.Infra+len(in))
	for range o.Infra {
		members = append(members, hubMember)
	}
	whole := o.Epoch.Shards <= 1
	for _, i := range in {
		m := buyerMember
		switch {
		case i < o.Rigs && whole:
			m = rigMember
		case i < o.Rigs: // whom look-ups meet is in another shard
			m.want, m.low, m.high = rigMember.want/len(held[i]), rigMember.low, rigMember.high
		case !whole: // enough for a mesh in each
			m.want = max(meshHigh, m.want/len(held[i]))
		}
		members = append(members, m)
	}
	t := newTopic(members, o.Infra, r)
	return t, t.spread(o.wire(), o.Latency, int(messages(len(in))), 100*time.Millisecond)
}

// messages is how many documents of a topic are followed: many nodes make up for few documents.
func messages(subscribers int) float64 {
	if subscribers > 5000 {
		return maxMessages / 4
	}
	return maxMessages
}

// cost is what a topic of so many documents a second costs one of its subscribers, as followed of some. Sync is a list
// of ids as its client and one as its server in ten minutes.
func (o Options) cost(x *node, perSecond, followed float64) Load {
	w := o.wire()
	bytes := (x.sent.data + x.got.data + x.sent.ids + x.got.ids) / followed * perSecond
	bytes += 2 * float64(x.lazyPeers()) * w.frame() * frames(perSecond)
	held := perSecond * 86400 / Renewals
	return Load{Gossip: bytes, Sync: 2 * 16 * held / 600}
}

// other is what a node costs beside its topics: its connections and, a rig, its place in the DHT, where it asks as
// often as it is asked.
func (o Options) other(rig bool) Load {
	n := float64(o.Rigs)
	if !rig {
		return Load{Idle: 2 * Measured.Idle * float64(buyerMember.low)}
	}
	met := math.Min(lookUp+waste*math.Log2(math.Max(n/lookUp, 1)), n)
	each := 2*Measured.Handshake + Measured.Look
	return Load{Idle: 2 * Measured.Idle * float64(rigMember.low), DHT: 2 * perHour * met * each / 3600}
}

func mean(loads []Load) (m Load, most float64) {
	if len(loads) == 0 {
		return m, 0
	}
	var all []float64
	for _, l := range loads {
		m = m.plus(l)
		all = append(all, l.Total())
	}
	slices.Sort(all)
	n := float64(len(loads))
	return Load{m.Gossip / n, m.Sync / n, m.DHT / n, m.Idle / n}, all[len(all)*99/100]
}

// Uniform is a network of one topic, as real nodes are measured: what one document costs each node, and how long its
// copies take, where so many come a second.
type Uniform struct {
	Nodes, Infra int
	Offer, Topic float64
	PerSecond    float64
	Latency      time.Duration
	Seed         uint64
}

// Run returns what a node sends for one document, mean, and the times of its copies, sorted.
func (u Uniform) Run() (bytes float64, took []time.Duration) {
	r := rand.New(rand.NewPCG(u.Seed, 2))
	members := make([]member, u.Nodes)
	for i := range members {
		if members[i] = rigMember; i < u.Infra {
			members[i] = hubMember
		}
	}
	w := Measured.Wire
	w.Offer, w.Topic = u.Offer, u.Topic
	const runs = 4
	for range runs {
		t := newTopic(members, u.Infra, r)
		took = append(took, t.spread(w, u.Latency, maxMessages, time.Duration(float64(time.Second)/u.PerSecond))...)
		for i := range t.nodes {
			x := &t.nodes[i]
			bytes += (x.sent.data + x.sent.ids) / maxMessages
			bytes += float64(x.lazyPeers()) * w.frame() * frames(u.PerSecond) / u.PerSecond
		}
	}
	slices.Sort(took)
	return bytes / float64(u.Nodes*runs), took
}

// Classes is a market of so many classes, the k-th of which has 1/k of the first one's rigs.
func Classes(n int) (out []Class) {
	sum := 0.0
	for k := range n {
		sum += 1 / float64(k+1)
	}
	for k := range n {
		out = append(out, Class{fmt.Sprintf("class-%d", k+1), 1 / float64(k+1) / sum})
	}
	return out
}

// Split is an epoch of so many shards in which each class has as many as its share of the rigs, at least one.
func Split(shards int, classes []Class) wire.Epoch {
	e := wire.Epoch{Shards: shards}
	for _, c := range classes {
		e.Parts = append(e.Parts, wire.Part{Class: c.Name, Shards: max(int(c.Share*float64(shards)), 1)})
	}
	return e
}
