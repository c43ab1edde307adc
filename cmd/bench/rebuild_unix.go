//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer"
)

// rebuildMost is the target of -rows channels, in seconds, for a million.
const rebuildMost = 300.0

// ledgerOf is a chain of n transactions that each open a channel. It answers at once: what a real endpoint takes is not
// the index's work.
// told is closed once the index asks for what came after the last one: all is in it.
type ledgerOf struct {
	n    int
	told func()
}

func (l ledgerOf) name(i int) string { return fmt.Sprintf("sig%012d", i) }

// Slot implements indexer.Chain.
func (l ledgerOf) Slot(context.Context) (uint64, error) { return uint64(l.n), nil }

// Signatures implements indexer.Chain.
func (l ledgerOf) Signatures(_ context.Context, before, after string) (out []string, err error) {
	from, until := l.n, 0
	if before != "" {
		if from, err = strconv.Atoi(before[3:]); err != nil {
			return nil, err
		}
	}
	if after == l.name(l.n-1) {
		l.told()
		return nil, nil
	}
	if after != "" {
		if until, err = strconv.Atoi(after[3:]); err != nil {
			return nil, err
		}
		until++
	}
	for i := from - 1; i >= until && len(out) < solana.PageOfSignatures; i-- {
		out = append(out, l.name(i))
	}
	return out, nil
}

func channelAt(i int) (id market.ChannelID) {
	binary.BigEndian.PutUint64(id[8:], uint64(i)*0x9E3779B97F4A7C15)
	return id
}

// Transaction implements indexer.Chain.
func (l ledgerOf) Transaction(_ context.Context, sig string) (solana.Landed, error) {
	i, err := strconv.Atoi(sig[3:])
	if err != nil {
		return solana.Landed{}, err
	}
	data := escrow.OpenData{Deposit: 5_000_000}.Encode()
	return solana.Landed{Signature: sig, Slot: uint64(1 + i/4), At: time.Unix(1_800_000_000+int64(i/10), 0),
		Calls: []solana.Call{{Outer: 0, Inner: -1, Data: data,
			Accounts: []market.Address{{1, byte(i)}, {2}, market.Address(channelAt(i)), {}}}}}, nil
}

// Channels implements indexer.Chain.
func (l ledgerOf) Channels(_ context.Context, ids []market.ChannelID, _ escrow.Trust) (out []escrow.ChannelState,
	err error) {
	for _, id := range ids {
		s := escrow.ChannelState{Status: escrow.StatusOpen, Payer: market.Address{1}, Payee: market.Address{2},
			Deposit: 5_000_000, Slot: 1, OpenedAt: 1_800_000_000}
		s.ID = id
		out = append(out, s)
	}
	return out, nil
}

// nobody is never dialled.
type nobody struct{}

// Ping implements indexer.Dialer.
func (nobody) Ping(context.Context, market.NodeID, []string) (time.Duration, error) {
	return 0, errors.New("there is nobody")
}

// Reach implements indexer.Dialer.
func (nobody) Reach(market.NodeID) []string { return nil }

// benchRebuild builds an index of -rows channels from nothing, in a file, by the indexer's own follower.
func benchRebuild(ctx context.Context, o options, r *report) (err error) {
	dir, err := os.MkdirTemp("", "gpuai-bench-rebuild")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	all := make(chan struct{})
	chain := ledgerOf{o.rows, sync.OnceFunc(func() { close(all) })}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x, err := indexer.New(ctx, indexer.Config{Network: "localnet-bench", Genesis: "bench",
		Store: filepath.Join(dir, "index.db"), ChainEvery: time.Millisecond}, nobody{}, chain,
		slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	began, cpu := time.Now(), ownTime()
	var wg sync.WaitGroup
	var served error
	done := make(chan struct{})
	wg.Go(func() { defer close(done); served = x.Serve(ctx) })
	select {
	case <-all:
	case <-done:
		err = errors.New("the indexer ended")
	}
	took, used := time.Since(began), ownTime()-cpu
	cancel()
	wg.Wait()
	if err = errors.Join(err, served, x.Close()); err != nil {
		return err
	}
	per := took.Seconds() * 1e6 / float64(o.rows)
	if err := r.add(figure{Name: "rebuild_sqlite_cpu", Value: float64(used.Microseconds()) / float64(o.rows),
		Unit: "us a channel", OK: true}); err != nil {
		return err
	}
	return r.add(figure{Name: "rebuild_sqlite", Value: per, Unit: "s for 1e6 channels", Target: "≤ 300 s",
		OK: per <= rebuildMost})
}

// Program implements indexer.Chain.
func (ledgerOf) Program(context.Context, int) (solana.Deployed, error) { return solana.Deployed{}, nil }
