package p2p

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
)

const (
	leaseTag    = "lease"
	maxDials    = 8
	lostFor     = 15 * time.Minute
	saveEvery   = time.Minute
	roundRest   = 200 * time.Millisecond // changes come in groups
	backoffBase = 30 * time.Second
	backoffMax  = time.Hour
	relayedRest = time.Minute
)

// Delays before redials: of a lost connection, then each last one; of a live lease's.
var (
	lostDelays  = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}
	leaseDelays = []time.Duration{0, time.Second, 2 * time.Second, 5 * time.Second}
)

// entry is one known peer.
type entry struct {
	rec    PeerRecord
	addrs  []ma.Multiaddr
	boot   bool
	lease  bool      // redial without end
	heal   bool      // dial it once, whatever else is there
	left   bool      // a side has closed the connection on purpose
	lost   time.Time // of a connection that ended otherwise; zero: none
	next   time.Time // no dial before
	tries  int
	busy   bool // being dialled
	anchor bool // of the last run, not dialled yet
	found  bool // on the LAN
	dirty  bool
}

// upkeep holds connections: nothing else in libp2p redials a lost one, and without it a healed split never heals the
// gossip.
type upkeep struct {
	h    *Host
	wake chan struct{} // something may be due that was not

	mu     sync.Mutex
	peers  map[peer.ID]*entry
	drop   []market.NodeID
	aimed  map[netip.Addr]time.Time // when a peer that was only heard of was dialled there
	stand  Standing
	losses []time.Time // when connections ended that others closed, within lossTime
	healed time.Time   // the last heal
	alone  time.Time   // since when no peer is direct; zero: one is

	pulse   gossipPulse
	surplus chan network.Conn // to close
	healing chan struct{}     // see Host.Healing
	turned  chan struct{}     // see Host.Turned
}

func newUpkeep(h *Host) *upkeep {
	k := &upkeep{h: h, wake: make(chan struct{}, 1), peers: map[peer.ID]*entry{}, aimed: map[netip.Addr]time.Time{},
		surplus: make(chan network.Conn, 64), healing: make(chan struct{}, 1), turned: make(chan struct{}, 1)}
	for _, b := range h.boot {
		if b.ID != h.self {
			k.get(b.ID).addrs, k.get(b.ID).boot = b.Addrs, true
		}
	}
	return k
}

// serve dials when a back-off ends or something has changed, and saves once a minute.
func (k *upkeep) serve(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(maxDials)
	defer func() { _ = g.Wait() }() // dials end with ctx and return nil
	saved := time.Now()
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		next := k.round(ctx, &g, time.Now())
		if time.Since(saved) >= saveEvery {
			k.save(ctx)
			saved = time.Now()
		}
		if next.IsZero() || next.After(saved.Add(saveEvery)) {
			next = saved.Add(saveEvery)
		}
		t.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return nil
		case c := <-k.surplus:
			k.leave(c)
			continue
		case <-t.C:
			continue
		case <-k.wake:
		}
		t.Reset(roundRest)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// stir has the next round come soon.
func (k *upkeep) stir() { poke(k.wake) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it comes already
	}
}

// round starts the dials that are due and says when the next one will be; zero: none is known.
func (k *upkeep) round(ctx context.Context, g *errgroup.Group, now time.Time) (next time.Time) {
	due, next := k.due(now)
	for _, p := range due {
		if !g.TryGo(func() error { k.dial(ctx, p); return nil }) { // the end of another dial stirs
			k.mu.Lock()
			k.peers[p].busy = false
			k.mu.Unlock()
		}
	}
	return next
}

// due does what the plan says except to dial, and returns whom to dial, marked busy. next is when to look again, zero
// for never.
func (k *upkeep) due(now time.Time) (out []peer.ID, next time.Time) {
	links := k.links()
	k.mu.Lock()
	defer k.mu.Unlock()
	p := decide(k.see(links, now))
	if p.heal {
		k.heal(links, now)
		p = decide(k.see(links, now))
	}
	if p.stand != k.stand {
		k.stand = p.stand
		poke(k.turned)
	}
	for _, id := range p.leave {
		for _, c := range links[id].conns {
			select {
			case k.surplus <- c:
			default: // the next round says so again
			}
		}
	}
	k.anchor(p.anchors)
	out = slices.DeleteFunc(p.dial, func(p peer.ID) bool { return !k.mayAim(k.peers[p], now) })
	out = out[:min(len(out), maxDials)] // the end of each stirs
	for _, p := range out {
		k.peers[p].busy = true
		if !k.alone.IsZero() && k.peers[p].boot {
			k.peers[p].tries = 0 // isolated: bootstrap nodes know no long back-off
		}
	}
	return out, p.next
}

// Bounds of dials to peers that were only heard of: thousands of made-up Offers may name one victim.
const (
	aimEvery = time.Hour // per IP
	maxAimed = 4096
)

// mayAim reports whether a peer may be dialled, and counts it if it was only heard of.
func (k *upkeep) mayAim(e *entry, now time.Time) bool {
	if e.tried() || e.boot || e.lease || e.found || k.h.net.Private {
		return true
	}
	for _, a := range e.addrs {
		ip, ok := ipOf(a)
		if last, aimed := k.aimed[ip]; !ok || aimed && now.Sub(last) < aimEvery {
			return false
		}
	}
	if len(k.aimed) >= maxAimed {
		for ip, last := range k.aimed {
			if now.Sub(last) >= aimEvery {
				delete(k.aimed, ip)
			}
		}
		if len(k.aimed) >= maxAimed {
			return false
		}
	}
	for _, a := range e.addrs {
		if ip, ok := ipOf(a); ok {
			k.aimed[ip] = now
		}
	}
	return true
}

// leased reports whether the peer has a live lease with this node.
func (k *upkeep) leased(p peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.peers[p]
	return e != nil && e.lease
}

func (k *upkeep) dial(ctx context.Context, p peer.ID) {
	k.mu.Lock()
	e := k.peers[p]
	addrs := e.addrs
	k.mu.Unlock()
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	err := k.h.Libp2p().Connect(dctx, peer.AddrInfo{ID: p, Addrs: addrs})
	cancel()
	defer k.stir()
	k.mu.Lock()
	defer k.mu.Unlock()
	e.busy, e.heal = false, false
	if err == nil || ctx.Err() != nil {
		e.next = time.Now().Add(relayedRest) // of one that is relayed: each next circuit tries to punch
		return                               // what a good connection changes, identify will report
	}
	k.h.log.Debug("dial failed", "peer", p, "err", err)
	e.anchor, e.rec.Fails = false, min(e.rec.Fails, 254)+1
	e.dirty = e.dirty || !e.rec.LastOK.IsZero()
	e.next = time.Now().Add(k.wait(e))
	e.tries++
}

// wait is how long to leave a peer alone after another failed dial.
func (k *upkeep) wait(e *entry) time.Duration {
	switch {
	case e.lease:
		return leaseDelays[min(e.tries+1, len(leaseDelays)-1)]
	case !e.lost.IsZero():
		return lostDelays[min(e.tries+1, len(lostDelays)-1)]
	case e.boot && k.h.net.Private:
		return 2 * time.Second // a demo's nodes start in any order
	case e.boot && e.tries == 0:
		return 15 * time.Second
	}
	d := min(backoffBase<<min(e.tries, 7), backoffMax)
	return d/2 + rand.N(d) // ± 50 %: whole farms must not redial in step
}

func (k *upkeep) get(p peer.ID) *entry {
	e := k.peers[p]
	if e == nil {
		e = &entry{}
		e.rec.ID, _ = NodeOf(p)
		k.peers[p] = e
	}
	return e
}

// identified: a peer of our network is connected.
func (k *upkeep) identified(p peer.ID, addrs []ma.Multiaddr) {
	defer k.stir()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.get(p)
	e.rec.LastOK, e.rec.Fails, e.dirty = time.Now(), 0, true
	e.left, e.lost, e.tries, e.next = false, time.Time{}, 0, time.Time{}
	if len(addrs) > 0 {
		e.addrs = addrs
	}
	if e.lease {
		k.h.Libp2p().ConnManager().Protect(p, leaseTag) // it may have been asked for before the host was up
	}
	k.evict()
}

func (k *upkeep) disconnected(p peer.ID) {
	defer k.stir()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.peers[p]
	if e == nil || k.h.gate.banned(p) {
		return
	}
	now := time.Now()
	if e.left && !e.lease {
		e.left, e.tries, e.next = false, 0, now.Add(backoffBase)
		return
	}
	k.losses = append(slices.DeleteFunc(k.losses, func(t time.Time) bool { return now.Sub(t) > lossTime }), now)
	e.left, e.lost, e.tries, e.next = false, now, 0, now.Add(lostDelays[0])
	if e.lease {
		e.next = now
	}
}

// madeRoom: the last connection to a peer was closed since a side had more than it wants. It is no loss: who dials
// again is closed again. The peer's end may have been heard of before, as a loss, or come only now.
func (k *upkeep) madeRoom(p peer.ID) {
	defer k.stir()
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	switch e := k.peers[p]; {
	case e == nil || e.lease:
	case e.lost.IsZero() || now.Sub(e.lost) >= lostDelays[0]:
		e.left = true
	default:
		k.losses = slices.DeleteFunc(k.losses, func(t time.Time) bool { return t.Equal(e.lost) })
		e.lost, e.next = time.Time{}, now.Add(backoffBase)
	}
}

// ownAddressChanged: a new network may reach what the old one did not, and connections of the old one may be dead
// without a word.
func (k *upkeep) ownAddressChanged(moved bool) {
	defer k.stir()
	links := k.links()
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); moved && now.Sub(k.healed) >= healRest {
		defer k.heal(links, now)
	}
	for _, e := range k.peers {
		if e.lost.IsZero() && !e.lease {
			e.tries, e.next = 0, time.Time{}
		}
	}
}

func (k *upkeep) keepConnected(id market.NodeID, addrs []string) {
	p, err := PeerOf(id)
	if err != nil || p == k.h.self {
		return
	}
	defer k.stir()
	k.mu.Lock()
	e := k.get(p)
	e.lease, e.next = true, time.Time{}
	if a := parseAddrs(addrs, maxPeerAddrs); len(a) > 0 {
		e.addrs = a
	}
	k.mu.Unlock()
	if lp := k.h.Libp2p(); lp != nil {
		lp.ConnManager().Protect(p, leaseTag)
	}
}

func (k *upkeep) forget(id market.NodeID) {
	p, err := PeerOf(id)
	if err != nil {
		return
	}
	k.mu.Lock()
	if e := k.peers[p]; e != nil {
		e.lease = false
	}
	k.mu.Unlock()
	if lp := k.h.Libp2p(); lp != nil {
		lp.ConnManager().Unprotect(p, leaseTag)
	}
}

func (k *upkeep) learn(id market.NodeID, addrs []string) {
	p, err := PeerOf(id)
	a := k.h.Dialable(parseAddrs(addrs, maxAnnounced))
	if err != nil || p == k.h.self || len(a) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.peers[p] == nil && !k.h.net.Private && k.sameAddr(a) >= maxSameAddr {
		return
	}
	e := k.get(p)
	if len(e.addrs) == 0 {
		k.stir() // renewed Offers do not
	}
	e.addrs, e.dirty = a, true
	k.evict()
}

// found: mDNS has seen the peer on the LAN. Its addresses are unsigned, so they are never saved before identify
// confirms the peer.
func (k *upkeep) found(info peer.AddrInfo) {
	defer k.stir()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.get(info.ID)
	if len(e.addrs) == 0 { // signed addresses are better
		e.addrs = info.Addrs[:min(len(info.Addrs), maxPeerAddrs)]
	}
	e.next, e.found = time.Time{}, true
	k.evict()
}
