package p2p

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

var planNow = time.Unix(1_800_000_000, 0)

// named is a row whose id is a letter; what is said of it follows the letter: o outbound, i inbound, r relayed, l
// lease, k kept, b meeting point, t tried, a anchor, h healing, x busy, z banned, - unknown address, w waits, w/lost
// with L lost. A digit is its network.
func named(text string) (r row) {
	r = row{id: peer.ID(text[:1]), dialable: true, since: planNow.Add(-time.Duration('z'-text[0]) * time.Hour)}
	for _, c := range text[1:] {
		switch c {
		case 'o':
			r.link = linkOutbound
		case 'i':
			r.link = linkInbound
		case 'r':
			r.link = linkRelayed
		case 'l':
			r.lease = true
		case 'k':
			r.kept = true
		case 'b':
			r.boot = true
		case 't':
			r.tried = true
		case 'a':
			r.anchor = true
		case 'h':
			r.healing = true
		case 'x':
			r.busy = true
		case 'z':
			r.banned = true
		case '-':
			r.dialable = false
		case 'w':
			r.next = planNow.Add(time.Minute)
		case 'L':
			r.lost = planNow.Add(-time.Minute)
		case 'O':
			r.lost = planNow.Add(-lostFor - time.Second)
		case 'n':
			r.since = planNow.Add(-pruneAge / 2)
		default:
			r.group = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(c - '0'), 1}), 16)
		}
	}
	return r
}

func names(ids []peer.ID) string {
	var out []string
	for _, id := range ids {
		out = append(out, string(id))
	}
	return strings.Join(out, "")
}

// TestPlan_Dials: who is dialled, in which order, and why not.
func TestPlan_Dials(t *testing.T) {
	t.Parallel()
	joined := pulse{joined: true, hearers: minHearers, held: 1, last: planNow}
	thin := pulse{joined: true, hearers: minHearers - 1, held: 1, last: planNow}
	for name, c := range map[string]struct {
		rows   string
		wanted int
		pulse  pulse
		local  bool
		want   string
	}{
		"few: lease, anchor, lost, boot, tried, heard": {"A1 B2t C3b D4tL E5ta F6l", 9, joined, false, "FEDCBA"},
		"enough: only leases and lost ones":            {"A1i B2t C3b D4tL E5ta F6l G7bL H8o", 2, joined, false, "FD"},
		"lost long ago is not lost":                    {"A1o B2tO", 1, joined, false, ""},
		"busy, banned, connected, without address":     {"A1tx B2tz C3tr D4to E5t- F6tw", 9, joined, false, "C"},
		"thin: meeting points and tried ones":          {"A1o B2o C3b D4t E5", 2, thin, false, "CD"},
		"no gossip is not thin":                        {"A1o B2o C3b D4t E5", 2, pulse{}, false, ""},
		"starved: tried ones of other networks":        {"A1i B1i C1i D1i E2t F3o G3o H3t", 6, joined, false, "E"},
		"all inbound, enough: tried ones":              {"A1i B1i C1i D1i E2t F3", 4, joined, false, "E"},
		"all inbound on a local network":               {"A1i B1i C1i D1i E2t F3", 4, joined, true, ""},
		"a crowded network comes last":                 {"A1o B1o C1t D2t E1t", 9, joined, false, "DCE"},
		"two of a network are no crowd":                {"A1t B1t C1t D2t", 9, joined, false, "ABDC"},
		"healing is dialled though there are enough":   {"A1o B2o C3h D4t", 2, joined, false, "C"},
	} {
		s := sight{now: planNow, local: c.local, wanted: c.wanted, pulse: c.pulse, healed: planNow}
		for _, text := range strings.Fields(c.rows) {
			s.rows = append(s.rows, named(text))
		}
		if got := names(decide(s).dial); got != c.want {
			t.Errorf("%s: dials %q, want %q", name, got, c.want)
		}
	}
}

// TestPlan_Leaves: surplus connections into one network, and which are never closed.
func TestPlan_Leaves(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows   string
		wanted int
		local  bool
		want   string
	}{
		"the youngest above two":     {"A1o B1o C1o D1o E2o F3o", 2, false, "DC"},
		"not below what is wanted":   {"A1o B1o C1o D1o E2o F3o", 5, false, "D"},
		"not below half outbound":    {"A1o B1o C1o D4i E5i F6i", 5, false, "C"},
		"none is spare":              {"A1o B1o C1o D4i E5i F6i", 6, false, ""},
		"never a lease nor a guest":  {"A1o B1o C1ol D1ok", 2, false, "BA"},
		"never a fresh one":          {"A1o B1o C1on D2o", 2, false, "B"},
		"inbound ones are others'":   {"A1i B1i C1i D1i", 1, false, ""},
		"unknown networks are apart": {"Ao Bo Co Do", 1, false, ""},
		"a local network":            {"A1o B1o C1o D1o", 1, true, ""},
	} {
		s := sight{now: planNow, local: c.local, wanted: c.wanted}
		for _, text := range strings.Fields(c.rows) {
			s.rows = append(s.rows, named(text))
		}
		if got := names(decide(s).leave); got != c.want {
			t.Errorf("%s: leaves %q, want %q", name, got, c.want)
		}
	}
}

// TestPlan_Anchors: the oldest dialled peers, one of each network, eight at most.
func TestPlan_Anchors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows  string
		local bool
		want  string
	}{
		"one of each network":   {"A1ot B1ot C2ot D3it E4o F5ot", false, "ACF"},
		"local ones have none":  {"A1ot B1ot C2ot", true, "ABC"},
		"eight, none too young": {"A1ot B2ot C3ot D4ot E5ot F6otn G7ot H8ot I9ot J:ot", false, "ABCDEGHI"},
	} {
		s := sight{now: planNow, local: c.local}
		for _, text := range strings.Fields(c.rows) {
			s.rows = append(s.rows, named(text))
		}
		if got := names(decide(s).anchors); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPlan_Heals: when a part of the book is dialled and synced with, and what is said of the node.
func TestPlan_Heals(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return planNow.Add(-d) }
	few, many := strings.Fields("A1i B2i"), strings.Fields("A1i B2i C3i D4i")
	held := func(n int, since time.Duration) pulse {
		return pulse{joined: true, hearers: 2, held: n, last: ago(since)}
	}
	for name, c := range map[string]struct {
		rows   []string
		lost   int
		healed time.Duration
		alone  time.Duration
		pulse  pulse
		heal   bool
		want   Standing
	}{
		"half went":               {few, 2, time.Hour, 0, pulse{}, true, Standing{}},
		"less than half":          {few, 1, time.Hour, 0, pulse{}, false, Standing{}},
		"half, plenty are left":   {many, 4, time.Hour, 0, pulse{}, false, Standing{}},
		"half, healed just now":   {few, 2, healRest - 1, 0, pulse{}, false, Standing{}},
		"silent":                  {many, 0, time.Hour, 0, held(1000, quietFor), true, Standing{Stale: true}},
		"silent, healed for that": {many, 0, quietFor - 1, 0, held(1000, time.Hour), false, Standing{Stale: true}},
		"not silent yet":          {many, 0, time.Hour, 0, held(1000, quietFor-1), false, Standing{}},
		"few offers, long gaps":   {many, 0, time.Hour, 0, held(10, 119*time.Minute), false, Standing{}},
		"few offers, too long":    {many, 0, 3 * time.Hour, 0, held(10, 2*time.Hour), true, Standing{Stale: true}},
		"nothing is expected":     {many, 0, time.Hour, 0, held(0, 9*time.Hour), false, Standing{}},
		"nobody else hears offers": {many, 0, time.Hour, 0,
			pulse{joined: true, deaf: ago(quietFor), last: ago(quietFor)},
			false, Standing{Stale: true}},
		"silent, but alone": {nil, 0, 99 * time.Hour, time.Minute, held(1000, time.Hour), false,
			Standing{Isolated: true}},
		"alone for less than a minute": {nil, 0, time.Hour, time.Minute - 1, pulse{}, false, Standing{}},
	} {
		s := sight{now: planNow, wanted: 4, lost: c.lost, healed: ago(c.healed), pulse: c.pulse}
		if c.alone > 0 {
			s.alone = ago(c.alone)
		}
		for _, text := range c.rows {
			s.rows = append(s.rows, named(text))
		}
		if p := decide(s); p.heal != c.heal || p.stand != c.want {
			t.Errorf("%s: heal %v, %+v; want %v, %+v", name, p.heal, p.stand, c.heal, c.want)
		}
	}
}

// TestPlan_Next: the first back-off of those who are wanted, and of no other.
func TestPlan_Next(t *testing.T) {
	t.Parallel()
	s := sight{now: planNow, wanted: 9, rows: []row{named("A1tw"), named("B2tw"), named("C3tzw"), named("D4t")}}
	s.rows[0].next, s.rows[2].next = planNow.Add(2*time.Minute), planNow.Add(time.Second)
	if p := decide(s); !p.next.Equal(planNow.Add(time.Minute)) || !slices.Equal(p.dial, []peer.ID{"D"}) {
		t.Errorf("%+v", p)
	}
}
