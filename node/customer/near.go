package customer

import (
	"context"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// Bounds of distances: how many are remembered, how many rigs are pinged for one question, for how long, and when one
// that did not answer is tried again.
const (
	maxNear   = 4096
	soundMost = 20
	soundTime = 3 * time.Second
	soundWait = 10 * time.Minute
)

// distance is the round trip to a node; 0: it did not answer.
type distance struct {
	rtt time.Duration
	at  time.Time
}

// Near takes the round trip to a node, a provider or not, as this node has just measured it.
func (b *Book) Near(id market.NodeID, rtt time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.near.keep(id, distance{rtt, b.clock.Now()})
	b.book.Mark(id, book.Observation{RTT: rtt})
}

// distances are what was measured, at most maxNear; any other makes room.
type distances map[market.NodeID]distance

func (m distances) keep(id market.NodeID, d distance) {
	if _, have := m[id]; !have && len(m) >= maxNear {
		for other := range m {
			delete(m, other)
			break
		}
	}
	m[id] = d
}

// Sounder measures the round trip to a provider, and tells Near. Errors: it does not answer.
type Sounder func(ctx context.Context, id market.NodeID, addrs []string) error

// sound measures those of offers, which are in the order of preference, whose distance is not known. It ends after
// soundTime: a ranking by distance waits for it.
func (b *Book) sound(ctx context.Context, offers []market.Offer) {
	ctx, cancel := context.WithTimeout(ctx, soundTime)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, o := range b.unsounded(offers) {
		wg.Go(func() {
			if err := b.cfg.Sound(ctx, o.Provider, o.Reach); err != nil {
				b.log.Debug("Round trip was not measured", "provider", o.Provider, "error", err)
			}
		})
	}
}

// unsounded are the first of offers whose distance is worth measuring now, one of each provider. They are marked: two
// questions at once ask a rig once.
func (b *Book) unsounded(offers []market.Offer) (out []market.Offer) {
	if b.cfg.Sound == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for _, o := range offers {
		if n, have := b.near[o.Provider]; len(out) == soundMost || o.Provider == b.cfg.ID ||
			have && (n.rtt > 0 || now.Sub(n.at) < soundWait) {
			continue
		}
		b.near.keep(o.Provider, distance{at: now})
		out = append(out, o)
	}
	return out
}

// soundFor measures the rigs that fit a request which ranks by distance.
func (b *Book) soundFor(ctx context.Context, r *Request) {
	if r.File.Placement.Sort != (market.Sort{Field: market.FieldRTT}) {
		return
	}
	res, _ := b.match(r, book.MaxLimit, false)
	offers := make([]market.Offer, 0, len(res.Candidates))
	for _, c := range res.Candidates {
		offers = append(offers, c.Offer)
	}
	b.sound(ctx, offers)
}

// Listed is one row of the book, with what this node saw of its provider; Known: it saw any.
type Listed struct {
	book.Row
	Experience
	Known bool
}

// List is the book, the best first by a ranking. By distance, it measures some first: see sound.
func (b *Book) List(ctx context.Context, by market.Sort) []Listed {
	rows := b.rows(by)
	if by == (market.Sort{Field: market.FieldRTT}) {
		offers := make([]market.Offer, 0, len(rows))
		for _, r := range rows {
			offers = append(offers, r.Offer)
		}
		b.sound(ctx, offers)
		rows = b.rows(by)
	}
	out := make([]Listed, len(rows))
	for i, r := range rows {
		out[i].Row = r
		out[i].Experience, out[i].Known = b.marks.experience(r.Offer.Provider)
	}
	return out
}

func (b *Book) rows(by market.Sort) []book.Row {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.book.List(by, market.Address{}, b.clock.Now())
}

// Depth is what is offered of a class, and which classes there are.
func (b *Book) Depth(class string) (levels []book.Level, classes []string) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.clock.Now()
	return b.book.Depth(class, market.Address{}, now), b.book.Classes(now)
}
