package modeltest

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

const oneWay = 50 * time.Millisecond

func sized(rigs, shards int, seed uint64) Result {
	classes := Classes(60)
	return Run(Options{Rigs: rigs, Customers: rigs / 5, Infra: 3, Epoch: Split(shards, classes), Classes: classes,
		Offer: 390, Latency: oneWay, Seed: seed})
}

// TestRun_ExactBySeed: the same seed gives the same figures to the last bit, another one does not.
func TestRun_ExactBySeed(t *testing.T) {
	t.Parallel()
	a, b, c := sized(300, 16, 1), sized(300, 16, 1), sized(300, 16, 2)
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Errorf("%+v\n%+v\n%+v", a, b, c)
	}
}

// TestRun_ShardsPart_TheCost: with one topic a node pays for each rig there is, with sixteen for those of its classes.
func TestRun_ShardsPart_TheCost(t *testing.T) {
	t.Parallel()
	small, large, split := sized(300, 1, 1), sized(600, 1, 1), sized(600, 16, 1)
	if x := large.Rig.Gossip / small.Rig.Gossip; x < 1.5 || x > 2.3 {
		t.Errorf("twice the rigs cost %.2f times as much", x)
	}
	if x := large.Rig.Gossip / split.Rig.Gossip; x < 5 || split.Topics < 12 || split.Shards < 2 || split.Shards > 6 {
		t.Errorf("in %d topics a rig pays a %.1fth, a customer holds %.1f", split.Topics, x, split.Shards)
	}
}

// TestTopic_EveryNodeHears_OverMeshesWithinTheirBounds.
func TestTopic_EveryNodeHears_OverMeshesWithinTheirBounds(t *testing.T) {
	t.Parallel()
	const nodes = 400
	x := newTopic(slices.Repeat([]member{rigMember}, nodes), 0, rand.New(rand.NewPCG(1, 1)))
	took := x.spread(Measured.Wire, oneWay, maxMessages, time.Second)
	if len(took) != maxMessages*(nodes-1) || slices.Max(took) > 10*oneWay || slices.Min(took) != oneWay {
		t.Errorf("%d copies, %s to %s", len(took), slices.Min(took), slices.Max(took))
	}
	for i, n := range x.nodes {
		if len(n.mesh) < meshLow || len(n.mesh) > meshHigh+meshOut || n.seen != 1<<maxMessages-1 {
			t.Errorf("node %d: a mesh of %d, heard %b", i, len(n.mesh), n.seen)
		}
		for _, q := range n.mesh {
			if !slices.Contains(x.nodes[q].mesh, int32(i)) {
				t.Errorf("%d has %d in its mesh, not the other way round", i, q)
			}
		}
	}
}

func TestEvents_ComeInOrder(t *testing.T) {
	t.Parallel()
	var q events
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 1000 {
		q.push(event{at: int64(r.IntN(50)), seq: uint32(i)})
	}
	last := q.pop()
	for len(q) > 0 {
		e := q.pop()
		if e.before(last) {
			t.Fatalf("%+v after %+v", e, last)
		}
		last = e
	}
}
