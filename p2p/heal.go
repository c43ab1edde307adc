package p2p

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// linked is what the swarm says of one peer.
type linked struct {
	link  link
	since time.Time
	group netip.Prefix // where the peer is seen
	conns []network.Conn
}

// links are all connected peers. It must be asked without the upkeep's lock.
func (k *upkeep) links() map[peer.ID]linked {
	out := map[peer.ID]linked{}
	for _, c := range k.h.Libp2p().Network().Conns() {
		l, kind := out[c.RemotePeer()], linkInbound
		switch st := c.Stat(); {
		case st.Limited:
			kind = linkRelayed
		case st.Direction == network.DirOutbound:
			kind = linkOutbound
		}
		if at := c.Stat().Opened; l.since.IsZero() || at.Before(l.since) {
			l.since = at
		}
		if ip, ok := ipOf(c.RemoteMultiaddr()); ok && kind > l.link {
			l.group = groupOf(ip)
		}
		l.link, l.conns = max(l.link, kind), append(l.conns, c)
		out[c.RemotePeer()] = l
	}
	return out
}

// see puts together what the plan follows from. Needs mu.
func (k *upkeep) see(links map[peer.ID]linked, now time.Time) sight {
	s := sight{now: now, local: k.h.net.Local, wanted: k.h.profile.wanted, healed: k.healed, pulse: k.pulse.get(),
		rows: make([]row, 0, len(k.peers))}
	for _, t := range k.losses {
		if now.Sub(t) <= lossTime {
			s.lost++
		}
	}
	direct := false
	for _, l := range links {
		direct = direct || l.link >= linkInbound
	}
	switch {
	case direct:
		k.alone = time.Time{}
	case k.alone.IsZero():
		k.alone = now
	}
	s.alone = k.alone
	for p, e := range k.peers {
		l, group := links[p], e.group()
		if l.link > linkRelayed {
			group = l.group
		}
		if now.Sub(e.lost) > lostFor {
			e.lost = time.Time{}
		}
		s.rows = append(s.rows, row{
			id: p, group: group, link: l.link, since: l.since, lease: e.lease, boot: e.boot, tried: e.tried(),
			kept:   k.h.favours.of(p, now) != Stranger,
			anchor: e.anchor, healing: e.heal, dialable: len(e.addrs) > 0, busy: e.busy,
			banned: k.h.gate.banned(p), lost: e.lost, next: e.next,
		})
	}
	for p, l := range links {
		if k.peers[p] == nil { // not identified, or of another program: a connection all the same
			s.rows = append(s.rows, row{id: p, group: l.group, link: l.link, since: l.since, busy: true})
		}
	}
	return s
}

// heal has some random peers of the book and meeting points dialled at once, and documents exchanged. Needs mu.
func (k *upkeep) heal(links map[peer.ID]linked, now time.Time) {
	k.healed = now
	var book, boot []*entry
	for p, e := range k.peers {
		switch {
		case links[p].link > linkRelayed || len(e.addrs) == 0 || e.busy || k.h.gate.banned(p):
		case e.boot:
			boot = append(boot, e)
		default:
			book = append(book, e)
		}
	}
	for _, c := range []struct {
		of   []*entry
		most int
	}{{book, healBook}, {boot, healBoot}} {
		for _, i := range rand.Perm(len(c.of))[:min(len(c.of), c.most)] {
			c.of[i].heal, c.of[i].next = true, time.Time{}
		}
	}
	poke(k.healing)
}

// madeRoom reports that an ended connection was closed by the connection manager of a side.
func madeRoom(ctx context.Context, c network.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := c.NewStream(ctx) // it says why the connection has ended
	if err == nil {
		_ = s.Reset() // it had not ended
		return false
	}
	var why *network.ConnError
	return errors.As(err, &why) && why.ErrorCode == network.ConnGarbageCollected
}

// leave closes a connection, which then counts as no loss.
func (k *upkeep) leave(c network.Conn) {
	k.mu.Lock()
	if e := k.peers[c.RemotePeer()]; e != nil {
		e.left = true
	}
	k.mu.Unlock()
	_ = c.Close() // it may be closed already
}

// anchor notes who is to be dialled first after a restart; those of before stay while there is room, since all may be
// lost just before it. Needs mu.
func (k *upkeep) anchor(ids []peer.ID) {
	room := maxAnchors
	for _, p := range ids {
		e := k.peers[p]
		e.dirty = e.dirty || !e.rec.Anchor
		e.rec.Anchor = true
		room--
	}
	for p, e := range k.peers {
		if !e.rec.Anchor || slices.Contains(ids, p) {
			continue
		}
		if room--; room < 0 {
			e.rec.Anchor, e.dirty = false, true
		}
	}
}
