// Package indextest fills an index with a month that could have been: 40 rigs of 8 models, their probes, prices and
// leases, the channels that paid for them, and what customers want now.
//
// Invariants: of one moment and network it is the same each time. Documents are signed, so what a page shows verifies.
// Rows come by db.Apply alone. Concurrency: pure but for the index. Persistence: none. Next: node/indexer/rows.
package indextest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// Story names some of what an index was filled with: each has all that a page can show.
type Story struct {
	Model    string
	Provider string // with leases, uptime of 90 days, and a live offer
	Customer string
	Lease    string // its channel has paid it
	Waiting  string // a lease that its channel has not paid yet
	Channel  string // closed, with all of its instructions
	Closing  string // a channel that its payer wants back
	Payer    string
	Payee    string
}

// days of history.
const days = 30

// maker makes what a story is of.
type maker struct {
	network string
	now     time.Time
	rand    *rand.Rand
	rigs    []rig
	story   Story
	change  db.Change
}

// Fill fills an empty index with a month up to now.
func Fill(ctx context.Context, d *db.DB, network string, now time.Time) (Story, error) {
	m := &maker{network: network, now: now.Truncate(time.Second), rand: rand.New(rand.NewPCG(10, 36))}
	for _, part := range []func() error{m.sell, m.probe, m.prices, m.want, m.trade} {
		if err := part(); err != nil {
			return Story{}, fmt.Errorf("fill an index: %w", err)
		}
	}
	if _, err := d.Apply(ctx, m.now, m.change); err != nil {
		return Story{}, err
	}
	slot, err := d.Checkpoint(ctx)
	if err == nil && slot > 0 {
		var c db.Change
		if c.Digests, err = d.Digest(ctx, slot); err == nil {
			_, err = d.Apply(ctx, m.now, c)
		}
	}
	for more := true; more && err == nil; {
		more, err = d.Clear(ctx)
	}
	if err == nil {
		_, err = d.Sum(ctx, m.now)
	}
	return m.story, err
}

// seed is 32 bytes that a name always has.
func seed(kind string, n int) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "story/gpuai/%s/%d", kind, n))
}

// short are 16 such bytes.
func short(kind string, n int) [16]byte {
	s := seed(kind, n)
	return [16]byte(s[:16])
}

func key(kind string, n int) ed25519.PrivateKey {
	s := seed(kind, n)
	return ed25519.NewKeyFromSeed(s[:])
}

func node(k ed25519.PrivateKey) (id market.NodeID) {
	copy(id[:], k.Public().(ed25519.PublicKey))
	return id
}

// model is a kind of device, how much memory it has, and what an hour of it costs about, in lamports.
type model struct {
	name string
	gib  uint64
	rate int64
}

var models = []model{{"NVIDIA GeForce RTX 4090", 24, 2_400_000}, {"NVIDIA GeForce RTX 3090", 24, 1_300_000},
	{"NVIDIA GeForce RTX 5090", 32, 4_100_000}, {"NVIDIA H100 80GB HBM3", 80, 14_500_000},
	{"NVIDIA A100-SXM4-80GB", 80, 8_200_000}, {"NVIDIA L40S", 48, 5_600_000}, {"NVIDIA RTX A6000", 48, 3_300_000},
	{"NVIDIA L4", 24, 1_900_000}}

func (m model) class() string { return market.Slug(m.name) }

// around is v, by up to percent more or less, in steps that people choose.
func (m *maker) around(v, percent int64) int64 {
	return v * (1000 + m.rand.Int64N(20*percent+1) - 10*percent) / 1000 / 10_000 * 10_000
}
