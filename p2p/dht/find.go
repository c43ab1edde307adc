package dht

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p"
)

// Bounds of one look-up. Records cost their writer nothing, so what is bounded is what they make this node do.
const (
	asksAtOnce = 16
	maxRecords = 500 // of one key
	widenAfter = 3 * time.Second
)

// Check asks a node that was found for what makes it true, such as its own signed Offer. Its error says why it is not.
// addrs, at most 4, are hints of other nodes: the node may be connected already.
type Check func(ctx context.Context, id market.NodeID, addrs []string) error

// Found says what a look-up has met.
type Found struct {
	Records int             // different nodes named by the table
	Good    []market.NodeID // that passed the Check, in the order of their answers
}

// Find asks the nodes that announced a key until want of them have passed the Check, all were asked, or ctx ends; of a
// class two of its parts are looked up too, and all others when nobody good has come by then or within widenAfter: to
// hide a rig one has to crowd out 17 keys, not one. Nodes are asked in an order that spreads over the keys and the
// networks, so that many records of one key or machine do not hide the others. Errors: the table is not up, ctx's if
// nobody was good.
func (s *Service) Find(ctx context.Context, key Key, want int, check Check) (Found, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return Found{}, fmt.Errorf("look up %s: %w", key, ctx.Err())
	}
	first, rest := []Key{key}, []Key(nil)
	if strings.HasPrefix(string(key), "class/") {
		parts := key.parts()
		first, rest = append(first, parts[:2]...), parts[2:]
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := newFinding(want, check, s.host.ID(), cancel)
	stop := context.AfterFunc(ctx, f.end)
	defer stop()
	late := time.AfterFunc(widenAfter, func() { f.set(&f.late) })
	defer late.Stop()
	var looking, asking errgroup.Group
	looking.Go(func() error {
		s.lookUp(ctx, f, first)
		f.set(&f.looked)
		return nil
	})
	looking.Go(func() error {
		if f.needsMore() {
			s.lookUp(ctx, f, rest)
		}
		return nil
	})
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

// lookUp gives f the records of some keys.
func (s *Service) lookUp(ctx context.Context, f *finding, keys []Key) {
	var g errgroup.Group
	for _, k := range keys {
		c, err := k.cid(s.host.Network().Name)
		if err != nil {
			continue // of a text that is hashed; this cannot happen
		}
		g.Go(func() error {
			for rec := range s.table.FindProvidersAsync(ctx, c, 0) {
				f.add(k, rec.ID, p2p.AddrTexts(s.host.Dialable(rec.Addrs)))
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
}

// record is a node to ask.
type record struct {
	key   Key
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

	mu     sync.Mutex
	more   *sync.Cond // something of what follows has changed
	looked bool       // the first keys are
	late   bool       // widenAfter is over
	ended  bool
	busy   int // nodes that are being asked
	queue  []record
	seen   map[market.NodeID][]Key
	tried  map[market.NodeID]bool
	named  map[Key]int // records of the key
	asked  map[netip.Prefix]int
	turns  map[Key]int // nodes of the key that were asked
	out    Found
}

func newFinding(want int, check Check, self market.NodeID, cancel func()) *finding {
	f := &finding{want: want, check: check, self: self, cancel: cancel, seen: map[market.NodeID][]Key{},
		tried: map[market.NodeID]bool{},
		named: map[Key]int{}, asked: map[netip.Prefix]int{}, turns: map[Key]int{}}
	f.more = sync.NewCond(&f.mu)
	return f
}

func (f *finding) add(k Key, p peer.ID, addrs []string) {
	id, ok := p2p.NodeOf(p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok || id == f.self || f.tried[id] || slices.Contains(f.seen[id], k) || f.named[k] >= maxRecords {
		return
	}
	if f.seen[id] == nil {
		f.out.Records++
	}
	f.seen[id] = append(f.seen[id], k) // of each key in turn: a flood of one must not hold it back
	f.named[k]++
	f.queue = append(f.queue, record{k, id, addrs, p2p.GroupOf(addrs)})
	f.more.Broadcast()
}

func (f *finding) end() { f.set(&f.ended) }

func (f *finding) set(flag *bool) {
	f.mu.Lock()
	*flag = true
	f.mu.Unlock()
	f.more.Broadcast()
}

// needsMore waits until the first keys have given all they have, or for widenAfter, and reports whether nobody good was
// among them.
func (f *finding) needsMore() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !f.late && !f.ended && (!f.looked || len(f.queue) > 0 || f.busy > 0) {
		f.more.Wait()
	}
	return !f.ended && len(f.out.Good) == 0
}

// next takes the record whose key, then whose network was asked least; false: there are no more.
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
		b := f.queue[best]
		if cmp.Or(f.turns[r.key]-f.turns[b.key], f.asked[r.from]-f.asked[b.from]) < 0 {
			best = i
		}
	}
	r := f.queue[best]
	f.queue = slices.DeleteFunc(f.queue, func(q record) bool { return q.id == r.id })
	f.tried[r.id] = true
	f.asked[r.from]++
	f.turns[r.key]++
	f.busy++
	return r, true
}

func (f *finding) ask(ctx context.Context) {
	for {
		r, ok := f.next()
		if !ok || ctx.Err() != nil {
			return
		}
		err := f.check(ctx, r.id, r.addrs)
		f.mu.Lock()
		if f.busy--; err == nil {
			f.out.Good = append(f.out.Good, r.id)
		}
		enough := f.want > 0 && len(f.out.Good) >= f.want
		f.mu.Unlock()
		f.more.Broadcast()
		if enough {
			f.cancel()
		}
	}
}
