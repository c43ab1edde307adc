package indexer

import (
	"context"
	"slices"
	"strconv"
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

// compareAll compares this index with those of others, hourly, until ctx ends. What differs is warned of and shown;
// nothing else follows from it.
func (x *Indexer) compareAll(ctx context.Context) error {
	if len(x.cfg.Compare) == 0 || x.cfg.Listen == "" {
		return nil
	}
	for wait := compareFirst; ; wait = compareEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		for _, with := range x.cfg.Compare {
			x.compare(ctx, with)
		}
	}
}

// compare compares with one, and keeps what came of it.
func (x *Indexer) compare(ctx context.Context, with string) {
	ctx, cancel := context.WithTimeout(ctx, compareMost)
	defer cancel()
	got, err := CompareAll(ctx, "http://"+x.Address(), with, x.cfg.OnChain.Rows, x.cfg.OnChain.Channel)
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
	x.compared = slices.DeleteFunc(slices.Clone(x.compared), func(old public.Compared) bool {
		return old.With == with
	})
	x.compared = append(x.compared, c)
}

// Compared is what came of the newest comparison with each.
func (x *Indexer) comparedWith() []public.Compared {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.compared // it is never changed in place
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
