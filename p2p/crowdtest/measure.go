package crowdtest

import (
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// Figures are what a crowd was measured to do. Bytes are those of UDP that a node has sent.
type Figures struct {
	Join     Spread // bytes until 10 s after the last one has joined
	Peers    Spread
	Held     Spread // Offers of rigs
	Idle     Spread // bytes a second
	Size     int    // bytes of an Offer
	Bytes    float64
	Delivery []time.Duration // of all copies, sorted
	Missing  int             // copies that had not come 5 s after the last Offer
}

// Measure has all rigs publish, then some of them again, one after the other: these are timed. Bytes is what one of
// them costs each node, without what an idle node sends anyway.
func (c *Crowd) Measure(t testing.TB, offers int, apart time.Duration) (f Figures) {
	t.Helper()
	time.Sleep(10 * time.Second)
	f.Join = Of(c.Rigs, c.sent)
	for _, r := range c.Rigs {
		r.Publish(t)
	}
	time.Sleep(20 * time.Second)
	f.Peers = Of(c.All, func(n *Node) float64 { return float64(n.Peers()) })
	f.Held = Of(c.All, func(n *Node) float64 { return float64(n.Held()) })
	idle := c.rest()
	before := c.each()
	start := time.Now()
	var came []time.Time
	from := c.Rigs[:min(offers, len(c.Rigs))]
	for _, r := range from {
		came = append(came, time.Now())
		f.Size = r.Publish(t)
		time.Sleep(apart)
	}
	time.Sleep(5 * time.Second)
	took := time.Since(start)
	for i, b := range c.each() {
		f.Bytes += (b - before[i]) / float64(len(c.All))
	}
	for i, b := range c.rest() { // what an idle node sends comes in bursts
		f.Idle = append(f.Idle, (idle[i]+b)/2)
	}
	slices.Sort(f.Idle)
	f.Bytes = (f.Bytes - f.Idle.Mean()*took.Seconds()) / float64(len(from))
	for i, r := range from {
		for _, n := range c.All {
			if n == r {
				continue
			}
			if at := n.Heard(r.ID()); at.Before(came[i]) {
				f.Missing++
			} else {
				f.Delivery = append(f.Delivery, at.Sub(came[i]))
			}
		}
	}
	slices.Sort(f.Delivery)
	return f
}

// rest is what each node sends in a while in which nobody publishes, bytes a second.
func (c *Crowd) rest() (out []float64) {
	before := c.each()
	time.Sleep(10 * time.Second)
	for i, b := range c.each() {
		out = append(out, (b-before[i])/10)
	}
	return out
}

func (c *Crowd) sent(n *Node) float64 { b, _ := c.Net.Sent(n.Host); return float64(b) }

// each is what each node has sent so far, in the order of All.
func (c *Crowd) each() (out []float64) {
	for _, n := range c.All {
		out = append(out, c.sent(n))
	}
	return out
}

// Topic is the length of the topic's name.
const Topic = len("/gpuai/" + p2ptest.Network + "/book/1/1/0")
