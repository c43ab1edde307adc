package p2p

import (
	"sync"
	"time"
)

// renewal is the longest time after which a provider repeats its Offer: half of the longest lifetime.
const renewal = time.Hour

// pulse is what gossip of offers is like. The zero value is that of a node that hears none.
type pulse struct {
	joined  bool
	hearers int       // peers that hear offers too
	deaf    time.Time // since when there are none
	held    int       // offers of others
	last    time.Time // the newest one came, or the node has joined
}

// patience is how long gossip may be silent: quietGaps of the gaps that the renewals of all known offers leave. What
// was measured instead would take a burst for the rule.
func (p pulse) patience() time.Duration {
	return max(quietFor, quietGaps*renewal/time.Duration(max(p.held, 1)))
}

// silentFrom is when a silence becomes one to act on; zero: nothing is expected.
func (p pulse) silentFrom() time.Time {
	switch {
	case !p.joined:
		return time.Time{}
	case p.hearers == 0:
		return p.deaf.Add(quietFor)
	case p.held == 0:
		return time.Time{}
	}
	return p.last.Add(p.patience())
}

// gossipPulse is a pulse that many write.
type gossipPulse struct {
	mu sync.Mutex
	p  pulse
}

func (g *gossipPulse) get() pulse {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.p
}

// Gossip says how gossip of offers stands: how many peers hear it too, how many offers of others are held, and whether
// a new one has just come. Before the first call the node counts as one that hears none.
func (h *Host) Gossip(hearers, held int, heard bool) {
	g, now := &h.keep.pulse, time.Now()
	g.mu.Lock()
	first, was := !g.p.joined, g.p.hearers
	g.p.joined, g.p.hearers, g.p.held = true, hearers, held
	if first || heard {
		g.p.last = now
	}
	if hearers == 0 && (first || was > 0) {
		g.p.deaf = now
	}
	g.mu.Unlock()
	if first || was != hearers && min(was, hearers) < minHearers {
		h.keep.stir()
	}
}

// Healing receives when the node dials a random part of its book, since half of its peers went at once, its address
// changed or gossip is silent: whoever exchanges documents does so anew. One reader; many coalesce.
func (h *Host) Healing() <-chan struct{} { return h.keep.healing }

// Standing is how the node stands among its peers.
func (h *Host) Standing() Standing {
	h.keep.mu.Lock()
	defer h.keep.mu.Unlock()
	return h.keep.stand
}

// Turned receives when Standing has changed. One reader; many coalesce.
func (h *Host) Turned() <-chan struct{} { return h.keep.turned }
