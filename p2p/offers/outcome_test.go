package offers

import (
	"crypto/ed25519"
	"errors"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
	"github.com/gpuai/gpuai/p2p/wire"
)

// end is a lease of an hour that the nodes of two keys had.
func end(lease byte, provider, customer ed25519.PrivateKey, ended time.Time) market.Outcome {
	id := func(k ed25519.PrivateKey) market.NodeID { return market.NodeID(k.Public().(ed25519.PublicKey)) }
	ended = ended.UTC().Truncate(time.Millisecond)
	return market.Outcome{
		Lease: market.LeaseID{lease}, Fault: market.FaultNone, Code: market.CodeCompleted,
		Accepted: ended.Add(-time.Hour - time.Minute), Ready: ended.Add(-time.Hour), Ended: ended,
		BillableMS: 3_600_000, Amount: 2_400_000,
		Deal: market.Deal{Class: "rtx-4090", Rate: 2_400_000, Devices: 1, Channel: market.ChannelID{3},
			Payer: market.Address{4}, Payee: market.Address{5}, Provider: id(provider), Customer: id(customer)},
	}
}

// sealedEnd is an Outcome in the envelope of one side.
func sealedEnd(t testing.TB, key ed25519.PrivateKey, o market.Outcome) []byte {
	t.Helper()
	raw, err := wire.SealOutcome(key, p2ptest.Network, o)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pair is the message of a lease of the keys 1 and 2.
func pair(t testing.TB, lease byte, ended time.Time) []byte {
	t.Helper()
	o := end(lease, p2ptest.Key(1), p2ptest.Key(2), ended)
	return wire.PackOutcomes(sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(2), o))
}

func TestOutcome_EachStep(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good := pair(t, 1, now)
	o := end(1, p2ptest.Key(1), p2ptest.Key(2), now)
	forged := append([]byte{}, good...)
	forged[60] ^= 1 // inside the provider's signature
	other := o
	other.Amount, other.BillableMS = 0, 0
	for name, c := range map[string]struct {
		raw  []byte
		want pubsub.ValidationResult
	}{
		"good": {good, pubsub.ValidationAccept},
		"too large": {append(append([]byte{}, good...), make([]byte, wire.MaxOutcomes)...),
			pubsub.ValidationReject},
		"forged": {forged, pubsub.ValidationReject},
		"unequal": {wire.PackOutcomes(sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(2), other)),
			pubsub.ValidationReject},
		"by a third": {wire.PackOutcomes(sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(3), o)),
			pubsub.ValidationReject},
		"by one alone":     {wire.PackOutcomes(sealedEnd(t, p2ptest.Key(1), o), nil), pubsub.ValidationReject},
		"no message":       {[]byte("x"), pubsub.ValidationReject},
		"from future":      {pair(t, 1, now.Add(2*time.Minute)), pubsub.ValidationIgnore},
		"too old":          {pair(t, 1, now.Add(-OutcomeAge-time.Minute)), pubsub.ValidationIgnore},
		"of a new version": {wire.PackOutcomes([]byte{2, 9}, nil), pubsub.ValidationIgnore},
	} {
		s := idle(t)
		from := p2ptest.Key(9)
		id, err := p2p.PeerOf(market.NodeID(from.Public().(ed25519.PublicKey)))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.outcomes.gossip(t.Context(), id, message(c.raw)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if got, ok := len(s.outcomes.untold), c.want == pubsub.ValidationAccept; got == 1 != ok {
			t.Errorf("%s: %d for the sinks", name, got)
		}
		if bad := s.host.Blamed(id) > 0; bad != (c.want == pubsub.ValidationReject) {
			t.Errorf("%s: blamed is %v", name, bad)
		}
	}
}

// TestOutcome_Repeated_GoesOnOnceInAWhile: a replay, also in other envelopes of the same two, goes no further until the
// lease may be told again; another pair that claims the same lease id displaces nothing.
func TestOutcome_Repeated_GoesOnOnceInAWhile(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	o := end(1, p2ptest.Key(1), p2ptest.Key(2), now)
	again := o
	again.KeepChannel = true
	claim := end(1, p2ptest.Key(3), p2ptest.Key(4), now)
	for i, c := range []struct {
		raw  []byte
		at   time.Time
		want error
	}{
		{wire.PackOutcomes(sealedEnd(t, p2ptest.Key(3), claim), sealedEnd(t, p2ptest.Key(4), claim)), now, nil},
		{pair(t, 1, now), now, nil},
		{pair(t, 1, now), now.Add(time.Minute), errOld},
		{wire.PackOutcomes(sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(2), again)), now.Add(time.Minute),
			errOld},
		{pair(t, 2, now), now.Add(time.Minute), nil},
		{pair(t, 1, now), now.Add(seenTTL), nil},
	} {
		if err := s.outcomes.take(c.raw, c.at, "peer"); !errors.Is(err, c.want) {
			t.Errorf("%d: %v, want %v", i, err, c.want)
		}
	}
}

// TestOutcome_Flood_IsBounded: one forwarder and one signer get in what their quota says, and what is remembered of
// leases has a bound.
func TestOutcome_Flood_IsBounded(t *testing.T) {
	t.Parallel()
	s, now := idle(t), time.Now()
	s.now = func() time.Time { return now }
	in := 0
	for i := range 2 * outcomeBurst {
		if s.outcomes.take(pair(t, byte(i), now), now, "peer") == nil {
			in++
		}
	}
	if in != outcomeBurst {
		t.Errorf("%d of one signer came in, want %d", in, outcomeBurst)
	}
	ignored := 0
	for range outcomePeerBurst + 10 {
		if s.outcomes.gossip(t.Context(), "other", message(pair(t, 1, now))) == pubsub.ValidationIgnore {
			ignored++
		}
	}
	if ignored != outcomePeerBurst+10 || s.outcomes.perPeer.allow("other", now) {
		t.Errorf("%d ignored, and the forwarder has quota left", ignored)
	}
	for i := range maxRecent + 100 {
		s.outcomes.enter([16]byte{1, byte(i), byte(i >> 8), byte(i >> 16)}, now)
	}
	if n := len(s.outcomes.recent); n > maxRecent || n != len(s.outcomes.order) {
		t.Errorf("%d leases remembered, %d in order", n, len(s.outcomes.order))
	}
}

// ends is a Sink that keeps what it gets of Outcomes.
type ends struct {
	mu  sync.Mutex
	got []wire.Outcomes
}

func (e *ends) Offer(market.Offer, []byte) {}

func (e *ends) Outcome(o market.Outcome, provider, customer []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, wire.Outcomes{Outcome: o, Provider: provider, Customer: customer})
}

func (e *ends) all() []wire.Outcomes {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got
}

// TestOutcomes_ThirdNodeHearsOnce: both sides publish, and a node two hops away hears the lease once, with both
// envelopes; told again later it hears it again.
func TestOutcomes_ThirdNodeHearsOnce(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		b := join(t, net, 2)
		far := join(t, net, 3, b)
		listener := &ends{}
		far.s.Attach(listener)
		a := join(t, net, 1, b)
		o := end(1, p2ptest.Key(1), p2ptest.Key(2), time.Now())
		byA, byB := sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(2), o)
		time.Sleep(10 * time.Second)
		if err := a.s.PublishOutcome(t.Context(), byA, byB); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if err := b.s.PublishOutcome(t.Context(), byA, byB); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := listener.all(); len(got) != 1 || got[0].Outcome != o || string(got[0].Provider) != string(byA) ||
			string(got[0].Customer) != string(byB) {
			t.Fatalf("heard %+v", got)
		}
		time.Sleep(seenTTL + 2*time.Minute) // gossip forgets once a minute
		if err := b.s.PublishOutcome(t.Context(), byA, byB); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := listener.all(); len(got) != 2 {
			t.Errorf("told again after a while, it was heard %d times", len(got))
		}
		other := o
		other.Amount, other.BillableMS = 0, 0
		if err := b.s.PublishOutcome(t.Context(), byA, sealedEnd(t, p2ptest.Key(2), other)); market.CodeOf(err) !=
			market.CodeOfferInvalid {
			t.Errorf("unequal words are published: %v", err)
		}
	})
}

// TestOutcomes_NobodyListens_Waits: an Outcome is not told into the void, though own Sinks have it at once.
func TestOutcomes_NobodyListens_Waits(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{Latency: latency}, func(t *testing.T, net *p2ptest.Net) {
		a, own := join(t, net, 1), &ends{}
		a.s.Attach(own)
		o := end(1, p2ptest.Key(1), p2ptest.Key(2), time.Now())
		byA, byB := sealedEnd(t, p2ptest.Key(1), o), sealedEnd(t, p2ptest.Key(2), o)
		done := make(chan error, 1)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { done <- a.s.PublishOutcome(t.Context(), byA, byB) })
		time.Sleep(time.Minute)
		if len(done) > 0 || len(own.all()) != 1 {
			t.Errorf("published to nobody, and %d at the own sink", len(own.all()))
		}
		b, listener := join(t, net, 2, a), &ends{}
		b.s.Attach(listener)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if len(listener.all()) != 1 {
			t.Errorf("the first who listened heard %d", len(listener.all()))
		}
	})
}
