package provider

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// TestEarlyStops_Bounds: no customer fills what is remembered, a Stop is given once, to its own lease alone, and not
// after the life of a Quote.
func TestEarlyStops_Bounds(t *testing.T) {
	t.Parallel()
	now, e := time.Unix(1_700_000_000, 0), earlyStops{}
	_, one := buyer(1)
	_, two := buyer(2)
	stop := market.StopAsked{By: market.CustomerSide, Code: market.CodeNeverUsed}
	for i := range maxEarlyOf {
		for range 2 { // a repeat is one
			if !e.add(one, leaseNo(i), stop, now) {
				t.Fatalf("stop %d is not remembered", i)
			}
		}
	}
	if e.add(one, leaseNo(maxEarlyOf), stop, now) {
		t.Error("a customer has too many")
	}
	if !e.add(two, leaseNo(0), stop, now) || e.take(two, leaseNo(1), now) != nil {
		t.Error("one customer's stops are another's")
	}
	if got := e.take(one, leaseNo(0), now); got == nil || *got != stop || e.take(one, leaseNo(0), now) != nil {
		t.Errorf("given %v", got)
	}
	later := now.Add(earlyWithin)
	if e.take(one, leaseNo(1), later) != nil {
		t.Error("given after the quote's life")
	}
	if !e.add(one, leaseNo(99), stop, later) || len(e) != 1 {
		t.Errorf("%d are kept after their time", len(e))
	}
	for n := range maxEarly {
		var from market.NodeID
		from[0], from[1] = byte(n), byte(n>>8)
		e.add(from, leaseNo(n), stop, later)
	}
	if len(e) != maxEarly {
		t.Errorf("%d are kept", len(e))
	}
}

// TestStop_BeforeItsLease: a Stop that overtakes its lease is answered, and the lease refused when it comes; somebody
// else's Stop does nothing, and one of a lease that is known goes to it.
func TestStop_BeforeItsLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		p := started(t, dir)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.clerk.serve(ctx) })
		defer func() { cancel(); wg.Wait() }()
		synctest.Wait()
		stop := func(n byte, id market.LeaseID) error {
			key, from := buyer(n)
			raw, err := wire.SealStop(key, p.cfg.Network, market.Stop{Lease: id, Code: market.CodeNeverUsed,
				At: p.now().Truncate(time.Millisecond)})
			if err != nil {
				t.Fatal(err)
			}
			return p.Stop(ctx, from, raw)
		}
		refusal := func(pr *proposal) string {
			if err := p.Propose(ctx, pr.from, pr.raw); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			s, err := p.Status(ctx, pr.from, pr.id)
			if err != nil || s.State != market.Refused {
				t.Fatalf("status %+v, %v", s, err)
			}
			return s.Cause
		}
		pr := signed(t, p, 1, 1)
		if err := stop(1, pr.id); err != nil {
			t.Fatalf("the Stop is not taken: %v", err)
		}
		if why := refusal(pr); why != string(market.CodeNeverUsed) {
			t.Errorf("refused as %s", why)
		}
		if err := stop(1, pr.id); err != nil || len(p.clerk.early) != 0 {
			t.Errorf("again: %v; %d are remembered", err, len(p.clerk.early))
		}
		other := signed(t, p, 1, 2)
		if err := stop(2, other.id); err != nil { // it does not hear whether there is one
			t.Fatal(err)
		}
		if why := refusal(other); why == string(market.CodeNeverUsed) {
			t.Error("a stranger has stopped a lease")
		}
		l := ended(t, p, signed(t, p, 3, 3), 10)
		p.desk.enter(l)
		if err := stop(2, l.id); market.CodeOf(err) != market.CodeUnknownLease || len(p.clerk.early) != 1 {
			t.Errorf("a stranger's stop of a known lease: %v; %d are remembered", err, len(p.clerk.early))
		}
	})
}

// emptyChain is a ledger without channels; it counts how often it is read.
type emptyChain struct {
	escrow.Ledger
	reads int
}

func (c *emptyChain) Channels(_ context.Context, ids []market.ChannelID, _ escrow.Trust) ([]escrow.ChannelState,
	error) {
	c.reads++
	return make([]escrow.ChannelState, len(ids)), nil
}

// TestReleaseRequest_Unknown_ReadsTheChainSeldom: questions for channels that are not known here do not drive the
// chain, whoever asks.
func TestReleaseRequest_Unknown_ReadsTheChainSeldom(t *testing.T) {
	t.Parallel()
	p := started(t, t.TempDir())
	_, one := buyer(1)
	_, two := buyer(2)
	chain := &emptyChain{}
	p.books.ledger = chain
	ask := func(from market.NodeID, n byte) market.Code {
		_, err := p.ReleaseRequest(t.Context(), from, market.ChannelID{n})
		return market.CodeOf(err)
	}
	for i, want := range []struct {
		from market.NodeID
		code market.Code
	}{{one, market.CodeChannelUnknown}, {one, market.CodeRateLimited}, {two, market.CodeChannelUnknown}} {
		if got := ask(want.from, byte(i+1)); got != want.code {
			t.Errorf("question %d: %s, want %s", i, got, want.code)
		}
	}
	if chain.reads != 2 {
		t.Errorf("the chain was read %d times", chain.reads)
	}
}
