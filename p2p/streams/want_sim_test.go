package streams

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
	"github.com/gpuai/gpuai/p2p/p2ptest"
)

// wanter is a customer that wants one thing.
type wanter struct {
	mu     sync.Mutex
	want   market.DocID
	asked  int
	quotes []string
}

func (w *wanter) Replied(_ context.Context, _ market.NodeID, id market.DocID, offer []byte) ([]byte,
	func([]byte, error), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	switch {
	case id == market.DocID{}:
		return nil, nil, market.Refuse(market.CodeWantOver, market.KindNotFound, "")
	case id != w.want:
		return nil, nil, ErrBadReply
	}
	return append([]byte("order for "), offer...), func(quote []byte, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.quotes = append(w.quotes, string(quote))
	}, nil
}

func (w *wanter) seen() (asked int, quotes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked, w.quotes
}

// TestWant_ReplyLimits: a reply brings an Order, and its Quote reaches the customer. A provider replies twice at once
// and then every 10 s: what is above that never reaches the customer's own work, and bans nobody. Late replies are no
// fault, replies to what was never wanted are, each once.
func TestWant_ReplyLimits(t *testing.T) {
	t.Parallel()
	p2ptest.Run(t, p2ptest.Options{}, func(t *testing.T, net *p2ptest.Net) {
		rig := net.Start(t, p2p.Config{Key: p2ptest.Key(1)})
		buyer := net.Start(t, p2p.Config{Key: p2ptest.Key(2), Bootstrap: rig.FullAddrs()})
		log := slog.New(slog.DiscardHandler)
		w := &wanter{want: market.DocID{1}}
		New(buyer, Handlers{Wanter: w}, log)
		s, quoter := New(rig, Handlers{}, log), &fakeProvider{}
		peer, err := p2p.PeerOf(rig.ID())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		reply := func(id market.DocID) error {
			return s.Reply(t.Context(), buyer.ID(), buyer.Addrs(), id, []byte("offer"), quoter)
		}
		if err := reply(w.want); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, quotes := w.seen(); len(quotes) != 1 || quotes[0] != "quote for order for offer" {
			t.Fatalf("the customer got %q", quotes)
		}
		flood := time.Now()
		for range 100 {
			_ = reply(market.DocID{}) // late ones, honest
		}
		most := 1 + repliesBurst + int(time.Since(flood)/ReplyEvery)
		if asked, _ := w.seen(); asked > most {
			t.Errorf("the customer looked at %d of 100 replies, at most %d fit into the time", asked, most)
		}
		for range 10 {
			time.Sleep(ReplyEvery)
			if err := reply(market.DocID{}); market.CodeOf(err) != market.CodeWantOver {
				t.Fatalf("a late reply: %v", err)
			}
		}
		if n := buyer.Blamed(peer); n != 0 || buyer.Peers() != 1 {
			t.Errorf("late replies: blamed %d times, %d peers", n, buyer.Peers())
		}
		for i := range 4 {
			time.Sleep(ReplyEvery)
			if err := reply(market.DocID{9}); market.CodeOf(err) != market.CodeWantOver {
				t.Fatalf("a reply to nothing: %v", err)
			}
			if n := buyer.Blamed(peer); n != i+1 {
				t.Errorf("%d replies to nothing are blamed %d times", i+1, n)
			}
		}
		time.Sleep(ReplyEvery)
		_ = reply(market.DocID{9})
		time.Sleep(time.Second)
		if buyer.Peers() != 0 {
			t.Error("five of them are no ban")
		}
	})
}
