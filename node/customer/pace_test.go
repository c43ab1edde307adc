package customer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
)

// host is a provider with the limits of the network: so many streams at once, so many new ones in a time.
type host struct {
	Net
	mu      sync.Mutex
	at      int
	most    int
	over    int
	hungUp  int
	quotes  *rate.Limiter
	leases  *rate.Limiter
	answers error
}

func (h *host) serve(ctx context.Context, l *rate.Limiter) error {
	h.mu.Lock()
	h.at++
	h.most = max(h.most, h.at)
	if !l.Allow() {
		h.over++
	}
	h.mu.Unlock()
	err := await.Sleep(ctx, 300*time.Millisecond)
	h.mu.Lock()
	h.at--
	h.mu.Unlock()
	return errors.Join(err, h.answers)
}

func (h *host) Quote(ctx context.Context, _ market.NodeID, _ []string, _ []byte) ([]byte, error) {
	return nil, h.serve(ctx, h.quotes)
}

func (h *host) Status(ctx context.Context, _ market.NodeID, _ market.LeaseID) (market.Status, error) {
	return market.Status{}, h.serve(ctx, h.leases)
}

func (h *host) HangUp(market.NodeID) { h.hungUp++ }

func newHost() *host { return &host{quotes: rate.NewLimiter(5, 20), leases: rate.NewLimiter(20, 100)} }

// TestPaced_NeverOverWhatAProviderTakes: forty orders that all ask at once, for quotes and then about their leases, are
// never refused for it.
func TestPaced_NeverOverWhatAProviderTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		n := newPaced(h)
		var orders sync.WaitGroup
		for range 40 {
			orders.Go(func() {
				for range 2 {
					leave, err := n.turn(t.Context(), market.NodeID{1})
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := n.Quote(t.Context(), market.NodeID{1}, nil, nil); err != nil {
						t.Error(err)
					}
					leave()
				}
				for range 10 {
					if _, err := n.Status(t.Context(), market.NodeID{1}, market.LeaseID{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		orders.Wait()
		if h.over > 0 || h.most > 8+8 { // 8 streams of each kind
			t.Errorf("%d requests over the rate, %d at once", h.over, h.most)
		}
		if got := n.peers[market.NodeID{1}].users; got != 0 {
			t.Errorf("%d users are left", got)
		}
	})
}

// TestPaced_HangUp_SparesAConnectionThatIsServed: one request that got no answer does not break the connection of the
// others.
func TestPaced_HangUp_SparesAConnectionThatIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHost()
		n := newPaced(h)
		id := market.NodeID{1}
		n.HangUp(id)
		if h.hungUp != 1 {
			t.Error("the connection to a provider that never spoke is kept")
		}
		if _, err := n.Status(t.Context(), id, market.LeaseID{}); err != nil {
			t.Fatal(err)
		}
		n.HangUp(id)
		if h.hungUp != 1 {
			t.Error("a connection that is served is broken")
		}
		h.answers = errors.New("no answer")
		time.Sleep(quietFor)
		_, _ = n.Status(t.Context(), id, market.LeaseID{}) // it fails
		n.HangUp(id)
		if h.hungUp != 2 {
			t.Error("a connection that is dead is kept")
		}
	})
}

// TestWaitsFor: what may pass is waited for, what never will is not.
func TestWaitsFor(t *testing.T) {
	t.Parallel()
	refuse := func(code market.Code, kind market.Kind) error { return market.Refuse(code, kind, "") }
	for name, c := range map[string]struct {
		err  error
		want time.Duration
	}{
		"rented":         {refuse(market.CodeBusy, market.KindUnavailable), patience},
		"taken":          {refuse(market.CodeDevicesTaken, market.KindUnavailable), patience},
		"too fast":       {refuse(market.CodeRateLimited, market.KindUnavailable), patience},
		"new word":       {refuse("some-new-word", market.KindUnavailable), patience},
		"starting":       {refuse(market.CodeQuoteUnknown, market.KindNotFound), restart},
		"being mended":   {refuse(market.CodeUnhealthy, market.KindUnavailable), restart},
		"ending":         {refuse(market.CodeDraining, market.KindUnavailable), restart},
		"no answer":      {errors.New("stream reset"), restart},
		"no answer, too": {&market.Error{Code: market.CodePeerUnreachable, Kind: market.KindUnavailable}, restart},
		"a rule":         {refuse(market.CodePolicy, market.KindDenied), 0},
		"does not fit":   {refuse(market.CodeDoesNotFit, market.KindConflict), 0},
		"wrong quote":    {&market.Error{Code: market.CodeQuoteRefused, Kind: market.KindDenied}, 0},
		"no money":       {&market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict}, 0},
	} {
		if got := waitsFor(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
