package p2p

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Bounds of what the upkeep decides.
const (
	perGroup   = 2               // peers that this node dialled in one /16, or /32 of IPv6
	minHearers = 6               // peers that hear offers too, before more are looked for
	lossTime   = time.Minute     // in which half of the peers must go for a heal
	healRest   = time.Minute     // between two heals
	healBook   = 16              // peers of the book that a heal dials
	healBoot   = 2               // meeting points, likewise
	quietFor   = 5 * time.Minute // of gossip, and quietGaps of its usual gaps: silence
	quietGaps  = 20
	aloneFor   = time.Minute // without a direct peer: isolated
	pruneAge   = time.Minute // a younger connection may be one that a request has just opened
	maxAnchors = 8           // peers that are dialled first after a restart
)

// link is how a peer is connected.
type link uint8

const (
	_ link = iota // none
	linkRelayed
	linkInbound
	linkOutbound // dialled by this node
)

// sight is all that the upkeep sees at one moment; what it does follows from it alone.
type sight struct {
	now    time.Time
	local  bool // addresses of all nodes share a few networks, which says nothing about their owners
	wanted int  // direct peers
	lost   int  // connections that others ended within lossTime
	healed time.Time
	alone  time.Time // since when no peer is direct; zero: one is
	pulse  pulse
	rows   []row // of all known peers
}

// row is one known peer.
type row struct {
	id    peer.ID
	group netip.Prefix // of its first address; zero: unknown
	link  link
	since time.Time // of the link

	lease, kept, boot, tried, anchor, healing bool
	dialable, busy, banned                    bool

	lost time.Time // see entry
	next time.Time
}

// plan is what to do.
type plan struct {
	dial    []peer.ID // due now, most wanted first
	leave   []peer.ID // connections that only crowd a network of one owner
	anchors []peer.ID // to be dialled first after a restart
	heal    bool      // dial a random part of the book and sync
	stand   Standing
	next    time.Time // when the next dial falls due; zero: none. All else is looked at once a minute too
}

// Standing is how a node stands among its peers.
type Standing struct {
	Isolated bool // no direct peer for a minute
	Stale    bool // there are peers, and no offer has come by gossip for far longer than usual
}

// decide is the whole judgement of the upkeep.
func decide(s sight) (p plan) {
	direct, outbound, crowd := s.count()
	w := wants{few: direct < s.wanted, thin: s.pulse.joined && s.pulse.hearers < minHearers,
		starved: !s.local && outbound < s.wanted/2, crowd: crowd}
	due := map[peer.ID]int{}
	for _, r := range s.rows {
		rank := w.rank(r, s.now)
		switch {
		case rank == 0 || r.busy || r.banned || r.link > linkRelayed:
		case !s.now.Before(r.next):
			due[r.id] = rank
		default:
			p.next = sooner(p.next, r.next)
		}
	}
	p.dial = s.order(due, w)
	if !s.local {
		p.leave = s.surplus(direct-s.wanted, outbound-s.wanted/2, crowd)
	}
	p.anchors = s.anchors()
	p.stand.Isolated = !s.alone.IsZero() && s.now.Sub(s.alone) >= aloneFor
	silent := s.pulse.silentFrom()
	p.stand.Stale = direct > 0 && !silent.IsZero() && !s.now.Before(silent)
	rest := healRest
	halved := s.lost > 0 && s.lost >= direct && direct < s.wanted
	if !halved {
		rest = s.pulse.patience() // once for each silence of that length
	}
	p.heal = (halved || p.stand.Stale) && s.now.Sub(s.healed) >= rest
	return p
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// count counts direct peers, those of them that this node dialled, and these by network.
func (s sight) count() (direct, outbound int, crowd map[netip.Prefix]int) {
	crowd = map[netip.Prefix]int{}
	for _, r := range s.rows {
		if r.link >= linkInbound {
			direct++
		}
		if r.link == linkOutbound {
			outbound++
			crowd[r.group]++
		}
	}
	return direct, outbound, crowd
}

// wants is why peers are dialled.
type wants struct {
	few     bool // there are fewer direct peers than wanted
	thin    bool // too few of them hear offers
	starved bool // most connections were opened by others, who may all be one
	crowd   map[netip.Prefix]int
}

// rank is how much a peer is wanted, zero: not at all.
func (w wants) rank(r row, now time.Time) int {
	lost := !r.lost.IsZero() && now.Sub(r.lost) <= lostFor
	switch {
	case r.lease:
		return 6
	case r.anchor && w.few && r.dialable:
		return 5
	case lost && (w.few || !r.boot), r.healing && r.dialable:
		return 4
	case !r.dialable:
		return 0
	case r.boot && (w.few || w.thin):
		return 3
	case r.tried && (w.few || w.thin || w.starved && w.crowd[r.group] < perGroup):
		return 2
	case w.few:
		return 1
	}
	return 0
}

// order sorts what is due: the most wanted first, and of equals those whose network is not yet dialled into. Of a
// crowded network a peer is last of its rank, never out: a crowd is better than nobody.
func (s sight) order(due map[peer.ID]int, w wants) (out []peer.ID) {
	groups := map[peer.ID]netip.Prefix{}
	for _, r := range s.rows {
		if due[r.id] > 0 {
			out, groups[r.id] = append(out, r.id), r.group
		}
	}
	slices.SortStableFunc(out, func(a, b peer.ID) int { return due[b] - due[a] })
	if s.local {
		return out
	}
	place := map[peer.ID]int{} // how many of its network come before it
	for _, p := range out {
		place[p] = w.crowd[groups[p]]
		w.crowd[groups[p]]++
	}
	slices.SortStableFunc(out, func(a, b peer.ID) int {
		return cmp.Or(due[b]-due[a], max(place[a], perGroup-1)-max(place[b], perGroup-1))
	})
	return out
}

// surplus are connections above perGroup into one network, the youngest first, of no use by themselves. At most spare
// ones of all direct and of all dialled peers go: a network that lives at one hoster stays together.
func (s sight) surplus(spareDirect, spareOutbound int, crowd map[netip.Prefix]int) (out []peer.ID) {
	var may []row
	for _, r := range s.rows {
		if r.link == linkOutbound && !r.lease && !r.kept && r.group.IsValid() && s.now.Sub(r.since) >= pruneAge {
			may = append(may, r)
		}
	}
	slices.SortFunc(may, func(a, b row) int { return b.since.Compare(a.since) })
	left := map[netip.Prefix]int{}
	for g, n := range crowd {
		left[g] = n
	}
	for _, r := range may {
		if left[r.group] > perGroup && len(out) < min(spareDirect, spareOutbound) {
			left[r.group]--
			out = append(out, r.id)
		}
	}
	return out
}

// anchors are the peers that this node dialled and has longest, of networks of their own: whoever fills the book with
// peers of one owner while the node is off does not get all of its first connections.
func (s sight) anchors() (out []peer.ID) {
	var may []row
	for _, r := range s.rows {
		if r.link == linkOutbound && r.tried && s.now.Sub(r.since) >= pruneAge {
			may = append(may, r)
		}
	}
	slices.SortFunc(may, func(a, b row) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.id, b.id)) })
	taken := map[netip.Prefix]bool{}
	for _, r := range may {
		if len(out) < maxAnchors && (s.local || !taken[r.group]) {
			taken[r.group] = true
			out = append(out, r.id)
		}
	}
	return out
}
