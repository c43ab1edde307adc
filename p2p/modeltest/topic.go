package modeltest

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Constants of gossip, those of p2p/offers, and of its library.
const (
	meshD, meshLow, meshHigh, meshOut = 6, 5, 8, 2
	lazy                              = 6
	lazyShare                         = 0.25
	gossipBeats                       = 3
	beat                              = time.Second
	settleRounds                      = 12
)

// out marks, in a list of peers, a connection that its owner has opened.
const out = 1 << 30

// node is one subscriber of a topic.
type node struct {
	peers []int32 // its connections to others of the topic, with out
	mesh  []int32
	seen  uint64 // messages, a bit each
	asked uint64 // by IWANT
	heard [maxMessages]int64
	sent  tally
	got   tally
}

// tally is what one node has sent or got: bytes of documents with their frames, and of ids.
type tally struct{ data, ids float64 }

// topic is the subscribers of one topic and their connections.
type topic struct {
	nodes []node
	rand  *rand.Rand
}

// member says how a node connects: it opens connections until it has want, then extra ones to whom look-ups met; above
// high it closes some at random down to low.
type member struct{ want, extra, low, high int }

// newTopic connects the members. The first hubs are meeting points: each other one connects to them.
func newTopic(members []member, hubs int, r *rand.Rand) *topic {
	t := &topic{nodes: make([]node, len(members)), rand: r}
	n := len(members)
	for i := range n {
		for h := range min(hubs, i) {
			if len(t.nodes[h].peers) < members[h].high {
				t.connect(i, h)
			}
		}
	}
	order := r.Perm(n)
	for _, i := range order {
		for tries := 0; len(t.nodes[i].peers) < min(members[i].want, n-1) && tries < 10*n; tries++ {
			t.connect(i, r.IntN(n))
		}
	}
	for _, i := range order {
		for range members[i].extra {
			t.connect(i, r.IntN(n))
		}
	}
	for _, i := range order {
		m, x := members[i], &t.nodes[i]
		if len(x.peers) <= m.high {
			continue
		}
		for len(x.peers) > m.low {
			t.cut(i, int(x.peers[r.IntN(len(x.peers))]&^out))
		}
	}
	for range settleRounds {
		for _, i := range r.Perm(n) {
			t.keepMesh(i)
		}
	}
	return t
}

func (t *topic) connect(a, b int) {
	if a == b || slices.ContainsFunc(t.nodes[a].peers, func(p int32) bool { return int(p&^out) == b }) {
		return // a has the shorter list: hubs open none
	}
	t.nodes[a].peers = append(t.nodes[a].peers, int32(b)|out)
	t.nodes[b].peers = append(t.nodes[b].peers, int32(a))
}

func (t *topic) cut(a, b int) {
	for _, x := range [2][2]int{{a, b}, {b, a}} {
		t.nodes[x[0]].peers = slices.DeleteFunc(t.nodes[x[0]].peers,
			func(p int32) bool { return int(p&^out) == x[1] })
	}
}

// keepMesh is the upkeep of a mesh at one heartbeat.
func (t *topic) keepMesh(i int) {
	x := &t.nodes[i]
	if len(x.mesh) < meshLow {
		t.graft(i, meshD-len(x.mesh), false)
	}
	if len(x.mesh) > meshHigh {
		t.prune(i)
	}
	opened := 0
	for _, p := range x.peers {
		if p&out != 0 && slices.Contains(x.mesh, p&^out) {
			opened++
		}
	}
	if len(x.mesh) >= meshLow && opened < meshOut {
		t.graft(i, meshOut-opened, true)
	}
}

// graft asks some more peers into the mesh; one that is full refuses, unless it has opened the connection.
func (t *topic) graft(i, more int, opened bool) {
	x := &t.nodes[i]
	for _, k := range t.rand.Perm(len(x.peers)) {
		p := x.peers[k]
		q := p &^ out
		if more == 0 {
			return
		}
		if opened && p&out == 0 || slices.Contains(x.mesh, q) {
			continue
		}
		more--
		y := &t.nodes[q]
		if len(y.mesh) >= meshHigh && p&out != 0 {
			continue
		}
		x.mesh = append(x.mesh, q)
		y.mesh = append(y.mesh, int32(i))
	}
}

// prune leaves the mesh of a node with meshD, of them meshOut that it has opened connections to.
func (t *topic) prune(i int) {
	x := &t.nodes[i]
	var opened, rest []int32
	for _, k := range t.rand.Perm(len(x.mesh)) {
		q := x.mesh[k]
		if len(opened) < meshOut && slices.Contains(x.peers, q|out) {
			opened = append(opened, q)
		} else {
			rest = append(rest, q)
		}
	}
	keep := append(opened, rest...)
	for _, q := range keep[meshD:] {
		y := &t.nodes[q]
		y.mesh = slices.DeleteFunc(y.mesh, func(p int32) bool { return int(p) == i })
	}
	x.mesh = keep[:meshD]
}

// lazyPeers is to how many others a node tells at a heartbeat what it has.
func (x *node) lazyPeers() int {
	others := len(x.peers) - len(x.mesh)
	return min(others, max(lazy, int(lazyShare*float64(others))))
}
