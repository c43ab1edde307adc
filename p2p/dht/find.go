package dht

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Bounds of one look-up. Records cost their writer nothing, so what is bounded is what they make this node do.
const (
	asksAtOnce = 16
	maxRecords = 2000 // looked at
)

// Check asks a node that was found for what makes it true, such as its own signed Offer. Its error says why it is not.
// addrs, at most 4, are hints of other nodes: the node may be connected already.
type Check func(ctx context.Context, id market.NodeID, addrs []string) error

// Found says what a look-up has met.
type Found struct {
	Records int             // different nodes named by the table
	Good    []market.NodeID // that passed the Check, in the order of their answers
}

// Find asks the nodes that announced a key until want of them have passed the Check, all were asked, or ctx ends; a
// crowded class is looked up in two of its parts too. Nodes are asked in an order that spreads over their networks, so
// that many records of one machine do not hide the others. Errors: the table is not up, ctx's if nobody was good.
func (s *Service) Find(ctx context.Context, key Key, want int, check Check) (Found, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return Found{}, fmt.Errorf("look up %s: %w", key, ctx.Err())
	}
	keys := []Key{key}
	if strings.HasPrefix(string(key), "class/") {
		keys = append(keys, key.someShards()...)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := finding{want: want, check: check, self: s.host.ID(), cancel: cancel, seen: map[market.NodeID]bool{},
		asked: map[netip.Prefix]int{}}
	f.more = sync.NewCond(&f.mu)
	stop := context.AfterFunc(ctx, f.end)
	defer stop()
	var looking, asking errgroup.Group
	for _, k := range keys {
		c, err := k.cid(s.host.Network().Name)
		if err != nil {
			return Found{}, err
		}
		looking.Go(func() error {
			for rec := range s.table.FindProvidersAsync(ctx, c, 0) {
				f.add(rec.ID, p2p.AddrTexts(s.host.Dialable(rec.Addrs)))
			}
			return nil
		})
	}
	for range asksAtOnce {
		asking.Go(func() error { f.ask(ctx); return nil })
	}
	_ = looking.Wait() // no function of theirs fails
	f.end()
	_ = asking.Wait()
	result := "missed"
	if len(f.out.Good) > 0 {
		result = "found"
	}
	s.host.Tally(p2p.CountLookups, result, 1)
	s.host.Tally(p2p.CountRecords, "", f.out.Records)
	if err := ctx.Err(); err != nil && len(f.out.Good) == 0 {
		return f.out, fmt.Errorf("look up %s: %w", key, err)
	}
	return f.out, nil
}

// record is a node to ask.
type record struct {
	id    market.NodeID
	addrs []string
	from  netip.Prefix // its first address' network; zero: unknown
}

// finding is one look-up.
type finding struct {
	want   int
	check  Check
	self   market.NodeID
	cancel func()

	mu    sync.Mutex
	more  *sync.Cond // a record came, or no more will
	ended bool
	queue []record
	seen  map[market.NodeID]bool
	asked map[netip.Prefix]int
	out   Found
}

func (f *finding) add(p peer.ID, addrs []string) {
	id, ok := p2p.NodeOf(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok || id == f.self || f.seen[id] || len(f.seen) >= maxRecords {
		return
	}
	f.seen[id] = true
	f.out.Records++
	f.queue = append(f.queue, record{id, addrs, p2p.GroupOf(addrs)})
	f.more.Signal()
}

func (f *finding) end() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.more.Broadcast()
}

// next takes the record whose network was asked least; false: there are no more.
func (f *finding) next() (record, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && !f.ended {
		f.more.Wait()
	}
	if len(f.queue) == 0 {
		return record{}, false
	}
	best := 0
	for i, r := range f.queue {
		if f.asked[r.from] < f.asked[f.queue[best].from] {
			best = i
		}
	}
	r := f.queue[best]
	f.queue[best] = f.queue[len(f.queue)-1]
	f.queue = f.queue[:len(f.queue)-1]
	f.asked[r.from]++
	return r, true
}

func (f *finding) ask(ctx context.Context) {
	for {
		r, ok := f.next()
		if !ok || ctx.Err() != nil {
			return
		}
		if f.check(ctx, r.id, r.addrs) != nil {
			continue
		}
		f.mu.Lock()
		f.out.Good = append(f.out.Good, r.id)
		enough := f.want > 0 && len(f.out.Good) >= f.want
		f.mu.Unlock()
		if enough {
			f.cancel()
		}
	}
}
