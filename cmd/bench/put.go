package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// putTarget is how many full rows a second the book takes.
const putTarget = 100_000

// benchPut puts rows, each with all that a rig states, into a book that is empty at first; the peer puts the same rows
// into SQLite's memory, in one transaction, with its index made at the end.
func benchPut(ctx context.Context, o options, r *report) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, rng := time.Now(), rand.New(rand.NewPCG(1, 2))
	rigs := make([]market.Offer, min(o.rows, 100_000))
	for i := range rigs {
		rigs[i] = rig(rng, i, uint64(now.UnixMilli()))
	}
	b := book.New()
	wall, cpu := time.Now(), onCPU()
	for _, x := range rigs {
		if _, err := b.Put(x, market.DocID{}, nil, now); err != nil {
			return err
		}
	}
	ours, busy := time.Since(wall), onCPU()-cpu
	wall = time.Now()
	peer, err := newSQL(ctx, b)
	if err != nil {
		return err
	}
	defer peer.db.Close()
	theirs := time.Since(wall)
	rows := float64(len(rigs))
	if err := r.add(figure{Name: "put_rows", Value: rows / busy.Seconds(), Unit: "rows/s of CPU", Peer: "SQLite",
		PeerValue: rows / theirs.Seconds(), Target: "≥ 100000", OK: rows/busy.Seconds() >= putTarget}); err != nil {
		return err
	}
	return r.add(figure{Name: "put_rows_wall", Value: rows / ours.Seconds(), Unit: "rows/s", OK: true})
}
