package modeltest

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// maxMessages is how many documents of one topic are followed at most.
const maxMessages = 16

// Kinds of events.
const (
	arrives uint8 = iota // a document
	beats                // a node's heartbeat
	asks                 // IWANT
)

// event is what happens to a node.
type event struct {
	at   int64 // ns
	seq  uint32
	node int32
	from int32
	kind uint8
	msg  uint8
}

// events is a heap, the earliest first.
type events []event

func (e event) before(f event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

func (e *events) push(x event) {
	q := append(*e, x)
	i := len(q) - 1
	for i > 0 && x.before(q[(i-1)/4]) {
		q[i] = q[(i-1)/4]
		i = (i - 1) / 4
	}
	q[i] = x
	*e = q
}

func (e *events) pop() event {
	q := *e
	first, x := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*e = q
	for i := 0; len(q) > 0; {
		least := 4*i + 1
		for k := least + 1; k < min(4*i+5, len(q)); k++ {
			if q[k].before(q[least]) {
				least = k
			}
		}
		if least >= len(q) || !q[least].before(x) {
			q[i] = x
			break
		}
		q[i] = q[least]
		i = least
	}
	return first
}

// spreading is a run of a topic.
type spreading struct {
	*topic
	wire    Wire
	latency int64
	queue   events
	seq     uint32
	born    [maxMessages]int64
	took    []time.Duration
	scratch []int32
}

// spread publishes some documents of random subscribers, apart from each other, follows them until all is quiet, and
// returns how long each of their copies took to be heard.
func (t *topic) spread(w Wire, latency time.Duration, messages int, apart time.Duration) []time.Duration {
	s := &spreading{topic: t, wire: w, latency: int64(latency)}
	end := int64(time.Duration(messages)*apart + (gossipBeats+2)*beat)
	for i := range t.nodes {
		s.push(event{at: int64(t.rand.Int64N(int64(beat))), node: int32(i), kind: beats})
	}
	for m := range messages {
		s.born[m] = int64(time.Duration(m) * apart)
		from := int32(t.rand.IntN(len(t.nodes)))
		s.push(event{at: s.born[m], node: from, from: -1, kind: arrives, msg: uint8(m)})
	}
	for len(s.queue) > 0 {
		e := s.queue.pop()
		switch e.kind {
		case arrives:
			s.arrive(e)
		case beats:
			if s.beat(e); e.at+int64(beat) < end {
				s.push(event{at: e.at + int64(beat), node: e.node, kind: beats})
			}
		case asks:
			s.send(e.node, e.from, e.msg, e.at)
		}
	}
	return s.took
}

func (s *spreading) push(e event) {
	s.seq++
	e.seq = s.seq
	s.queue.push(e)
}

// send brings a document from one node to another.
func (s *spreading) send(from, to int32, msg uint8, at int64) {
	size := s.wire.document()
	s.nodes[from].sent.data += size
	s.nodes[to].got.data += size
	s.push(event{at: at + s.latency, node: to, from: from, kind: arrives, msg: msg})
}

func (s *spreading) arrive(e event) {
	x := &s.nodes[e.node]
	if x.seen&(1<<e.msg) != 0 {
		return
	}
	x.seen |= 1 << e.msg
	x.heard[e.msg] = e.at
	to := x.mesh
	if e.from < 0 { // its own: to all it is connected to
		to = x.peers
	} else {
		s.took = append(s.took, time.Duration(e.at-s.born[e.msg]))
	}
	for _, q := range to {
		if q &^= out; q != e.from {
			s.send(e.node, q, e.msg, e.at)
		}
	}
}

// beat tells some peers outside the mesh what the node has heard of late; those who lack it ask for it.
func (s *spreading) beat(e event) {
	x := &s.nodes[e.node]
	fresh := uint64(0)
	for rest := x.seen; rest != 0; rest &= rest - 1 {
		if m := bits.TrailingZeros64(rest); e.at-x.heard[m] < gossipBeats*int64(beat) {
			fresh |= 1 << m
		}
	}
	if fresh == 0 {
		return
	}
	others := append(s.scratch[:0], x.peers...)
	s.scratch = others
	for told := x.lazyPeers(); told > 0 && len(others) > 0; {
		k := s.rand.IntN(len(others))
		q := others[k] &^ out
		others[k] = others[len(others)-1]
		others = others[:len(others)-1]
		if slices.Contains(x.mesh, q) {
			continue
		}
		told--
		y := &s.nodes[q]
		ids := s.wire.id() * float64(bits.OnesCount64(fresh))
		x.sent.ids += ids
		y.got.ids += ids
		lacks := fresh &^ y.seen &^ y.asked // what is on its way is asked for as well
		for ; lacks != 0; lacks &= lacks - 1 {
			m := bits.TrailingZeros64(lacks)
			y.asked |= 1 << m
			y.sent.ids += s.wire.id()
			x.got.ids += s.wire.id()
			s.push(event{at: e.at + 2*s.latency, node: e.node, from: q, kind: asks, msg: uint8(m)})
		}
	}
}

// Wire is the sizes of what is sent, in bytes.
type Wire struct {
	Offer  float64 // an Offer's envelope
	Topic  float64 // the name of the topic
	Packet float64 // around the data of one packet, with its share of acknowledgements
	Ack    float64 // what the receiver sends back for one packet, on average
}

// document is one copy of an Offer: RPC, message and packet.
func (w Wire) document() float64 { return w.Offer + 3 + w.Topic + 2 + 3 + 2 + w.Packet + w.Ack }

// id is one id in an IHAVE or IWANT.
func (w Wire) id() float64 { return 18 }

// frame is an IHAVE without its ids.
func (w Wire) frame() float64 { return w.Topic + 2 + 8 + w.Packet + w.Ack }

// frames is how many heartbeats of a node carry an IHAVE, per second, where so many documents come a second.
func frames(perSecond float64) float64 { return 1 - math.Exp(-gossipBeats*perSecond) }
