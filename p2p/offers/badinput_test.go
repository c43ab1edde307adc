package offers

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// public is a service of a public network, whose host never starts.
func public(t testing.TB) *Service {
	t.Helper()
	h, err := p2p.New(p2p.Config{Network: "devnet", Key: p2ptest.Key(200)}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(h, nil, newSink())
}

// crafted signs a body as it is, with a reach that no honest program would pack; the body binds it.
func crafted(t testing.TB, seed byte, o market.Offer, reach ...string) []byte {
	t.Helper()
	var tail []byte
	for _, s := range reach {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		tail = append(append(tail, byte(len(a.Bytes()))), a.Bytes()...)
	}
	o.Reach = nil
	honest := sha256.Sum256([]byte("gpuai/reach/1\x00"))
	bound := sha256.Sum256(append([]byte("gpuai/reach/1\x00"), tail...))
	body := wire.EncodeOffer(o)
	if at := indexOf(body, honest[:16]); at >= 0 {
		copy(body[at:], bound[:16])
	} else if len(tail) > 0 {
		t.Fatal("the body binds no reach")
	}
	return signed(p2ptest.Key(seed), body, tail)
}

func indexOf(b, part []byte) int {
	for i := range len(b) - len(part) + 1 {
		if string(b[i:i+len(part)]) == string(part) {
			return i
		}
	}
	return -1
}

func signed(key ed25519.PrivateKey, body, tail []byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte{1, byte(wire.KindOffer)}, uint32(len(body)))
	out = append(out, key[ed25519.SeedSize:]...)
	out = append(out, ed25519.Sign(key, append([]byte("gpuai/offer/1\x00devnet\x00"), body...))...)
	return append(append(out, body...), tail...)
}

// TestValidator_BadInput: what a hostile signer writes is refused by the real validator of a public network, blamed
// once on its forwarder or not at all, kept by nobody, and no address of it is ever a candidate for a dial.
func TestValidator_BadInput(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range badInput(t, now) {
		s := public(t)
		from, err := p2p.PeerOf(p2ptest.NodeID(p2ptest.Key(9)))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.gossip(t.Context(), from, message(c.raw)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		accept, reject := c.want == pubsub.ValidationAccept, c.want == pubsub.ValidationReject
		if n := s.host.Blamed(from); (n == 1) != reject || n > 1 {
			t.Errorf("%s: blamed %d times", name, n)
		}
		if n := len(s.set.signers()); (n == 1) != accept {
			t.Errorf("%s: %d documents kept", name, n)
		}
		if err := s.take(c.raw, now, nil); err == nil && !accept {
			t.Errorf("%s: sync takes it", name)
		}
	}
}

type badDoc struct {
	raw  []byte
	want pubsub.ValidationResult
}

// badInput is one honest document, and many that are not.
func badInput(t *testing.T, now time.Time) map[string]badDoc {
	const good = "/ip4/1.2.3.4/udp/4801/quic-v1"
	base := offer(now)
	with := func(change func(*market.Offer)) market.Offer {
		o := offer(now)
		change(&o)
		return o
	}
	group := func(change func(*market.DeviceGroup)) market.Offer {
		return with(func(o *market.Offer) { change(&o.Groups[0]) })
	}
	reject, ignore, accept := pubsub.ValidationReject, pubsub.ValidationIgnore, pubsub.ValidationAccept
	copied := crafted(t, 1, base, good)
	thief := p2ptest.Key(2)
	return map[string]badDoc{
		"honest":            {copied, accept},
		"reach of a LAN":    {crafted(t, 1, base, "/ip4/10.0.0.1/udp/4801/quic-v1"), reject},
		"LAN beside a good": {crafted(t, 1, base, good, "/ip4/192.168.1.1/tcp/4801"), reject},
		"LAN in IPv6":       {crafted(t, 1, base, "/ip6/::ffff:10.0.0.1/tcp/4801"), reject},
		"LAN in 6to4":       {crafted(t, 1, base, "/ip6/2002:a00:1::1/tcp/4801"), reject},
		"LAN in NAT64":      {crafted(t, 1, base, "/ip6/64:ff9b::a00:1/tcp/4801"), reject},
		"loopback":          {crafted(t, 1, base, "/ip4/127.0.0.1/tcp/7070"), reject},
		"link local":        {crafted(t, 1, base, "/ip4/169.254.169.254/tcp/8080"), reject},
		"carrier's NAT":     {crafted(t, 1, base, "/ip4/100.64.0.1/tcp/4801"), reject},
		"multicast":         {crafted(t, 1, base, "/ip4/239.1.1.1/udp/4801/quic-v1"), reject},
		"a name":            {crafted(t, 1, base, "/dns4/victim.example/tcp/4801"), reject},
		"a list of names":   {crafted(t, 1, base, "/dnsaddr/victim.example"), reject},
		"a file":            {crafted(t, 1, base, "/unix/run%2Fdocker.sock"), reject},
		"port of ssh":       {crafted(t, 1, base, "/ip4/1.2.3.4/tcp/22"), reject},
		"port of DNS":       {crafted(t, 1, base, "/ip4/1.2.3.4/udp/53/quic-v1"), reject},
		"a web socket":      {crafted(t, 1, base, "/ip4/1.2.3.4/tcp/4801/ws"), reject},
		"five addresses":    {crafted(t, 1, base, good, good, good, good, good), reject},
		"reach of another":  {append(append([]byte{}, crafted(t, 1, base)...), copied[len(copied)-12:]...), reject},
		"bidi in a name": {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Name = "RTX \u202e0904" })),
			reject},
		"control in a name":  {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Name = "RTX\x1b[2J" })), reject},
		"no UTF-8":           {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Name = "\xff\xfe" })), reject},
		"bidi in a version":  {crafted(t, 1, with(func(o *market.Offer) { o.Version = "v1\u2066" })), reject},
		"class with a slash": {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Class = "../x" })), reject},
		"rate above all": {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Rates[0] = math.MaxUint64 })),
			reject},
		"rate by one unit":     {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Rates[0] = 2_399_999 })), reject},
		"lifetime of a year":   {crafted(t, 1, with(func(o *market.Offer) { o.Lifetime = 9000 * time.Hour })), reject},
		"lifetime of a second": {crafted(t, 1, with(func(o *market.Offer) { o.Lifetime = time.Second })), reject},
		"65 devices": {crafted(t, 1, group(func(g *market.DeviceGroup) {
			for i := range 65 {
				g.Devices = append(g.Devices, market.DeviceID{byte(i), 1})
			}
		})), reject},
		"free beyond devices": {crafted(t, 1, group(func(g *market.DeviceGroup) { g.Free = math.MaxUint64 })), reject},
		"seq at the end":      {crafted(t, 1, with(func(o *market.Offer) { o.Seq = math.MaxUint64 })), reject},
		"seq of 1970":         {crafted(t, 1, with(func(o *market.Offer) { o.Seq = 1 })), ignore},
		"seq in an hour": {crafted(t, 1, with(func(o *market.Offer) {
			o.Seq += uint64(time.Hour.Milliseconds())
		})), ignore},
		"copied body, its signature": {append(append(append([]byte{}, copied[:6]...), thief[32:]...), copied[38:]...),
			reject},
	}
}

// TestValidator_CopiedBody_TakesNothing: a thief's own Offer with another's devices and words has another id, so the
// victim's is neither suppressed nor replaced.
func TestValidator_CopiedBody_TakesNothing(t *testing.T) {
	t.Parallel()
	s := public(t)
	victim, stolen := crafted(t, 1, offer(time.Now())), crafted(t, 2, offer(time.Now()))
	for _, raw := range [][]byte{stolen, victim} {
		if got := s.gossip(t.Context(), "peer", message(raw)); got != pubsub.ValidationAccept {
			t.Errorf("%v", got)
		}
	}
	if raw, _ := s.set.of(p2ptest.NodeID(p2ptest.Key(1))); string(raw) != string(victim) {
		t.Error("the victim's offer is gone")
	}
}
