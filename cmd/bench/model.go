package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gpuai/gpuai/p2p/modeltest"
)

// What docs/benchmarks.md states of the model.
const (
	modelOffer   = 390 // bytes: a rig with one GPU and 31 fields
	modelLatency = 50 * time.Millisecond
	modelClasses = 60
	modelLimit   = 20.0 // kB/s, both ways
	modelTime    = time.Minute
	modelMemory  = 1000.0 // MB
)

var (
	modelRigs   = []int{1_000, 10_000, 100_000}
	modelShards = []int{1, 256}
)

// modelRow is one size of the market in so many shards.
type modelRow struct {
	rigs, shards int
	modeltest.Result
}

// benchModel runs the model of p2p/modeltest; with -svg it draws what it found.
func benchModel(_ context.Context, o options, r *report) error {
	var rows []modelRow
	classes := modeltest.Classes(modelClasses)
	for _, shards := range modelShards {
		for _, rigs := range modelRigs {
			began, err := cpuTime(os.Getpid())
			if err != nil {
				return err
			}
			res := modeltest.Run(modeltest.Options{Rigs: rigs, Customers: rigs / 5, Infra: 3,
				Epoch:   modeltest.Split(shards, classes),
				Classes: classes, Offer: modelOffer, Latency: modelLatency, Seed: 1})
			rows = append(rows, modelRow{rigs, shards, res})
			ended, err := cpuTime(os.Getpid())
			if err != nil {
				return err
			}
			if err := reportModel(r, rows[len(rows)-1], ended-began); err != nil {
				return err
			}
		}
	}
	mb, err := memoryOf(os.Getpid())
	if err != nil {
		return err
	}
	if err := r.add(figure{Name: "model_memory", Value: mb[2], Unit: "MB", OK: mb[2] <= modelMemory,
		Target: fmt.Sprintf("≤ %g MB", modelMemory)}); err != nil || o.svg == "" {
		return err
	}
	return os.WriteFile(o.svg, plotModel(rows), 0o644)
}

func reportModel(r *report, row modelRow, took time.Duration) error {
	name := func(what string) string { return fmt.Sprintf("model_%d_%d_%s", row.rigs, row.shards, what) }
	load := func(what string, v float64) figure {
		f := figure{Name: name(what), Value: v / 1000, Unit: "kB/s", OK: true}
		if row.shards > 1 {
			f.Target, f.OK = fmt.Sprintf("≤ %g kB/s", modelLimit), f.Value <= modelLimit
		}
		return f
	}
	ms := func(what string, d time.Duration) figure {
		return figure{Name: name(what), Value: millis(d), Unit: "ms", Peer: "one way", PeerValue: millis(modelLatency),
			OK: true}
	}
	for _, f := range []figure{
		load("rig", row.Rig.Total()), load("rig_p99", row.RigMost), load("customer", row.Customer.Total()),
		load("customer_p99", row.BuyerMost), load("rig_gossip", row.Rig.Gossip), load("rig_dht", row.Rig.DHT),
		load("rig_idle", row.Rig.Idle), load("rig_sync", row.Rig.Sync), ms("p50", row.P50), ms("p99", row.P99),
		{Name: name("copies"), Value: row.Copies, Unit: "copies", OK: true},
		{Name: name("held"), Value: row.Shards, Unit: "shards", OK: true},
		{Name: name("largest"), Value: float64(row.Largest), Unit: "nodes", OK: true},
		{Name: name("processor"), Value: took.Seconds(), Unit: "s", OK: took <= modelTime,
			Target: fmt.Sprintf("≤ %g s", modelTime.Seconds())},
	} {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}
