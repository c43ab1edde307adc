//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/dbtest"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/p2p/wire"
)

// Targets of an index.
const (
	indexRate  = 20_000.0 // signed Offers a second
	indexRound = 5_000    // Offers in one transaction: what comes in the time of a flush
)

// onBoth runs f on an empty index of each kind.
func onBoth(ctx context.Context, f func(kind string, d *db.DB) error) (err error) {
	dir, err := os.MkdirTemp("", "gpuai-bench-index")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	on := func(kind, at string) (err error) {
		d, err := db.Open(ctx, at)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		return f(kind, d)
	}
	if err := on("sqlite", filepath.Join(dir, "index.db")); err != nil {
		return err
	}
	s, err := dbtest.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	at, err := s.Database(ctx)
	if err != nil {
		return err
	}
	return on("postgres", at)
}

// benchIndex verifies signed Offers on all cores and writes them, as an indexer that is flooded with new rigs does. The
// Offers were signed before; each is of another rig.
func benchIndex(ctx context.Context, o options, r *report) error {
	n := min(o.rows, 200_000)
	raws, err := sealedOffers(n)
	if err != nil {
		return err
	}
	return onBoth(ctx, func(kind string, d *db.DB) error {
		began, cpu := time.Now(), ownTime()
		if err := indexed(ctx, d, raws); err != nil {
			return err
		}
		rate := float64(n) / time.Since(began).Seconds()
		if err := r.add(figure{Name: "index_" + kind, Value: rate, Unit: "offers/s", Target: "≥ 20000",
			OK: rate >= indexRate}); err != nil {
			return err
		}
		return r.add(figure{Name: "index_" + kind + "_cpu",
			Value: float64((ownTime() - cpu).Microseconds()) / float64(n),
			Unit:  "us an Offer", OK: true})
	})
}

// indexed verifies a round while the one before is written, as a node does: gossip verifies on all cores, one writes.
func indexed(ctx context.Context, d *db.DB, raws [][]byte) error {
	var g errgroup.Group
	rounds := make(chan db.Change)
	g.Go(func() error {
		var failed error
		for c := range rounds {
			if failed != nil {
				continue // it is read to its end
			}
			a, err := d.Apply(ctx, time.Now(), c)
			if err == nil && a.Rigs != len(c.Rigs) {
				err = fmt.Errorf("%d of %d Offers were new", a.Rigs, len(c.Rigs))
			}
			failed = err
		}
		return failed
	})
	var failed error
	for part := range slices.Chunk(raws, indexRound) {
		c := db.Change{Rigs: make([]db.Rig, len(part))}
		failed = inParts(len(part), func(i int) error {
			offer, _, err := wire.OpenOffer(part[i], "localnet-bench")
			if err == nil {
				c.Rigs[i], _ = rows.Offer(offer, part[i])
			}
			return err
		})
		if failed != nil {
			break
		}
		rounds <- c
	}
	close(rounds)
	return errors.Join(failed, g.Wait())
}
