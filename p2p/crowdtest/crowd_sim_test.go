package crowdtest

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/gpuai/gpuai/p2p/modeltest"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

const (
	latency = 50 * time.Millisecond
	infra   = 3
	wanted  = 24 // peers of a rig, see p2p
	apart   = 600 * time.Millisecond
	newOnes = 20
)

// TestCrowd_AllHearAll_AsTheModelSays: whoever knows the meeting points alone has peers and the Offers of all; a new
// one is everywhere, and the model, which speaks for sizes that cannot be run, says within a tenth what it costs.
// 200 nodes with GPUAI_LONG=1, see make long.
func TestCrowd_AllHearAll_AsTheModelSays(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]int{"50": 50, "200": 200} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if nodes > 50 && os.Getenv("GPUAI_LONG") == "" || testing.Short() {
				t.Skip("long: run make long")
			}
			p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, n *p2ptest.Net) {
				c := Grow(t, n, Options{Nodes: nodes, Infra: infra, Every: 200 * time.Millisecond})
				f := c.Measure(t, newOnes, apart)
				report(t, f)
				rigs := float64(nodes - infra)
				if f.Peers[0] < wanted {
					t.Errorf("a node has %g peers", f.Peers[0])
				}
				if f.Held[0] != rigs {
					t.Errorf("a node has %g of %g offers", f.Held[0], rigs)
				}
				if f.Missing > 0 {
					t.Errorf("%d copies are missing", f.Missing)
				}
				agrees(t, nodes, f)
			})
		})
	}
}

func at(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// report logs what cmd/bench reads.
func report(t *testing.T, f Figures) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, l := range []struct {
		name  string
		value float64
		unit  string
	}{
		{"join", f.Join.At(0.5) / 1000, "kB"}, {"peers_min", f.Peers[0], "peers"},
		{"peers_p50", f.Peers.At(0.5), "peers"},
		{"peers_max", f.Peers.At(1), "peers"}, {"held_min", f.Held[0], "offers"}, {"idle", f.Idle.Mean(), "B/s"},
		{"offer", float64(f.Size), "bytes"}, {"offer_node", f.Bytes, "bytes"}, {"p50", ms(at(f.Delivery, 0.5)), "ms"},
		{"p99", ms(at(f.Delivery, 0.99)), "ms"}, {"all", ms(at(f.Delivery, 1)), "ms"},
		{"missing", float64(f.Missing), "copies"},
	} {
		t.Logf("figure %s %g %s", l.name, l.value, l.unit)
	}
}

// agrees compares with the model.
func agrees(t *testing.T, nodes int, f Figures) {
	t.Helper()
	for _, c := range compare(nodes, f) {
		t.Logf("%s: %.0f by the model, %.0f real nodes", c.what, c.model, c.real)
		if !c.near() {
			t.Errorf("%s: %.0f by the model, %.0f real nodes", c.what, c.model, c.real)
		}
	}
}

// compared is a figure of both.
type compared struct {
	what        string
	model, real float64
}

func (c compared) near() bool { return math.Abs(c.model/c.real-1) <= 0.1 }

func compare(nodes int, f Figures) []compared {
	bytes, took := modeltest.Uniform{Nodes: nodes, Infra: infra, Offer: float64(f.Size), Topic: float64(Topic),
		PerSecond: 1 / apart.Seconds(), Latency: latency, Seed: 1}.Run()
	return []compared{
		{"bytes per offer and node", bytes, f.Bytes},
		{"p50", float64(at(took, 0.5)), float64(at(f.Delivery, 0.5))},
		{"p99", float64(at(took, 0.99)), float64(at(f.Delivery, 0.99))},
	}
}

// TestCompare_OtherNodes_Differ: nodes that sent or took a fifth more than the model says would be found out.
func TestCompare_OtherNodes_Differ(t *testing.T) {
	t.Parallel()
	f := Figures{Size: 380, Bytes: 1, Delivery: []time.Duration{latency, latency, 2 * latency}}
	f.Bytes = compare(50, f)[0].model
	far := func(f Figures) (out string) {
		for _, c := range compare(50, f) {
			if !c.near() {
				out += c.what + " "
			}
		}
		return out
	}
	if got := far(f); got != "" {
		t.Errorf("the model's own figures differ: %s", got)
	}
	more := f
	more.Bytes *= 1.2
	if got := far(more); got != "bytes per offer and node " {
		t.Errorf("a fifth more bytes: %q", got)
	}
	f.Delivery = []time.Duration{latency * 6 / 5, latency * 6 / 5, latency * 12 / 5}
	if got := far(f); got != "p50 p99 " {
		t.Errorf("a fifth slower: %q", got)
	}
}
