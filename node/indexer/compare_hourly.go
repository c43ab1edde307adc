package indexer

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest"
)

// Times of the comparison with other indexers.
const (
	compareFirst = time.Minute // after the start, when gossip has filled the index
	compareEvery = time.Hour
	compareMost  = 20 * time.Minute
)

// comparer compares this index with others.
type comparer struct {
	with    []string
	own     func() string // where this one listens, "": nowhere
	onChain OnChainReads
	log     *slog.Logger

	mu   sync.Mutex
	came []public.Compared // of each other the newest
}

// hourly compares this index with those of others, hourly, until ctx ends. What differs is warned of and shown;
// nothing else follows from it.
func (x *comparer) hourly(ctx context.Context) error {
	if len(x.with) == 0 || x.own() == "" {
		return nil
	}
	for wait := compareFirst; ; wait = compareEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		for _, with := range x.with {
			x.compare(ctx, with)
		}
	}
}

// compare compares with one, and keeps what came of it.
func (x *comparer) compare(ctx context.Context, with string) {
	ctx, cancel := context.WithTimeout(ctx, compareMost)
	defer cancel()
	got, err := CompareAll(ctx, "http://"+x.own(), with, x.onChain.Rows, x.onChain.Channel)
	if ctx.Err() != nil && err != nil {
		return // this one ends, or the other is too slow: nothing is known
	}
	c := public.Compared{With: with, At: rest.At(time.Now()), Agrees: got.Agrees && err == nil,
		First: got.firstDifference()}
	switch {
	case err != nil:
		c.Failed = market.CodeOf(err)
		x.log.Warn("Another indexer was not compared", "with", with, "error", err)
	case !got.Agrees:
		x.log.Warn("Another indexer says something else", "with", with, "first", c.First)
	}
	if got.Offers != nil {
		c.Offers, c.Differ = got.Offers.Common, got.Offers.Differ
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.came = slices.DeleteFunc(slices.Clone(x.came), func(old public.Compared) bool {
		return old.With == with
	})
	x.came = append(x.came, c)
}

// comparedWith is what came of the newest comparison with each.
func (x *comparer) comparedWith() []public.Compared {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.came // it is never changed in place
}

// firstDifference names what differs, "" if nothing.
func (c Comparison) firstDifference() string {
	switch {
	case !c.Equal && !c.NoCheckpoint && c.A != nil:
		return "instruction " + c.A.Signature
	case !c.Equal && !c.NoCheckpoint && c.B != nil:
		return "instruction " + c.B.Signature
	case c.Channels != nil && c.Channels.Differ > 0:
		return "channel " + c.Channels.Key
	case c.Leases != nil && c.Leases.Differ > 0:
		return "lease " + c.Leases.Key
	case c.Offers != nil && len(c.Offers.Examples) > 0:
		e := c.Offers.Examples[0]
		return "offer of " + e.Peer + ": " + strconv.FormatInt(e.A, 10) + " and " + strconv.FormatInt(e.B, 10)
	}
	return ""
}
