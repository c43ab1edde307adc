//go:build web

package test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/rows"
	"github.com/gpuai/gpuai/p2p/wire"
)

const network = "localnet"

// model of the market that tests look at: rate in lamports per device-hour.
type model struct {
	class, name string
	vram        int64 // GiB
	rate        int64
	per         int // devices of a rig, at most
}

var models = []model{
	{"rtx-4090", "NVIDIA GeForce RTX 4090", 24, 2_400_000, 4},
	{"rtx-3090", "NVIDIA GeForce RTX 3090", 24, 1_300_000, 4},
	{"rtx-5090", "NVIDIA GeForce RTX 5090", 32, 3_900_000, 2},
	{"h100-80gb", "NVIDIA H100 80GB HBM3", 80, 14_000_000, 8},
	{"a100-80gb", "NVIDIA A100-SXM4-80GB", 80, 8_200_000, 8}, {"l40s", "NVIDIA L40S", 48, 5_400_000, 4},
	{"cpu", "AMD EPYC 7763", 0, 150_000, 1},
}

// seeded is bytes that are the same in each run.
func seeded(what string, n int) []byte {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %d", what, n))
	return h[:]
}

func address(what string, n int) market.Address { return market.Address(seeded(what, n)) }

// signed is the n-th rig, its Offer signed as gossip brings it.
func signed(t *testing.T, n int, now time.Time, rng *rand.Rand) db.Rig {
	t.Helper()
	key := ed25519.NewKeyFromSeed(seeded("rig", n))
	m := models[n%len(models)]
	if rng.IntN(3) == 0 {
		m = models[0]
	}
	devices := 1 + rng.IntN(m.per)
	group := market.DeviceGroup{Class: m.class, Name: m.name, Free: rng.Uint64N(1 << devices),
		Rates: []market.Rate{market.Rate(m.rate * int64(80+rng.IntN(45)) / 100)}}
	for i := range devices {
		id := market.DeviceID{}
		copy(id[:], seeded("device", n*100+i))
		group.Devices = append(group.Devices, id)
	}
	if m.vram > 0 {
		group.Fields = market.Fields{market.FieldVRAM: uint64(m.vram) << 10}
	}
	country := []string{"DE", "DE", "FR", "US", "US", "US", "FI", "PL", "BR", "IS"}[rng.IntN(10)]
	o := market.Offer{Seq: uint64(now.UnixMilli()) - rng.Uint64N(600_000), Lifetime: 2 * time.Hour,
		Payout: address("payout", n),
		Mints:  []market.Address{{}}, Version: []string{"0.1.0", "0.1.0", "0.1.1"}[rng.IntN(3)],
		Fields: market.Fields{market.FieldCountry: uint64(country[0])<<8 | uint64(country[1]),
			market.FieldRAM: uint64(64+64*rng.IntN(7)) << 10, market.FieldCPU: uint64(8+8*rng.IntN(14)) * 1000,
			market.FieldDisk: uint64(200+100*rng.IntN(20)) << 10},
		Groups: []market.DeviceGroup{group}}
	raw, err := wire.SealOffer(key, network, o)
	if err != nil {
		t.Fatal(err)
	}
	o, _, err = wire.OpenOffer(raw, network)
	if err != nil {
		t.Fatal(err)
	}
	r, refused := rows.Offer(o, raw)
	if refused > 0 {
		t.Fatalf("%d figures are refused", refused)
	}
	return r
}

var statuses = []escrow.Status{escrow.StatusOpen, escrow.StatusClosing, escrow.StatusSealed, escrow.StatusGone}

// channels are deposits of one customer at many rigs, in each status, and the instructions that made them so.
func channels(rigs []db.Rig, now time.Time, rng *rand.Rand) (list []db.Channel, txs []db.Tx) {
	slot := int64(312_000_000)
	for i, r := range rigs {
		opened := now.Add(-time.Duration(3+rng.IntN(90*24)) * time.Hour)
		c := db.Channel{ID: address("channel", i).String(), Status: int64(statuses[i%4]),
			Payer: address("payer", i%3).String(),
			Payee: r.Payout, Mint: db.SOLMint, Decimals: 9, Deposit: 20_000_000 + rng.Int64N(90_000_000),
			CloseDelay: 3600, OpenedAt: opened.Unix(), OpenSlot: slot + int64(i)*9000, Lamports: 3_563_520,
			Slot: slot + 2_000_000, MovedAt: opened.Add(2 * time.Hour).UnixMilli(),
			VoucherKey: market.Address(voucherKey(i).Public().(ed25519.PublicKey)).String()}
		if i%3 == 0 { // it pays right now
			c.MovedAt = now.Add(-20 * time.Minute).UnixMilli()
		}
		c.Settled = c.Deposit * int64(rng.IntN(100)) / 100
		names := []string{"open", "record", "claim"}
		switch statuses[i%4] {
		case escrow.StatusClosing:
			c.Deadline = now.Add(40 * time.Minute).Unix()
			names = append(names, "request_close")
		case escrow.StatusSealed:
			c.Paid = c.Settled
			names = append(names, "release", "pay_payee")
		case escrow.StatusGone:
			c.Paid, c.Refunded = c.Settled, c.Deposit-c.Settled
			c.Lamports = 0
			names = append(names, "release", "pay_payee", "pay_payer", "reclaim")
		}
		if c.Lamports > 0 {
			c.Lamports += c.Deposit - c.Paid - c.Refunded
		}
		for k, name := range names {
			sig := append(seeded("sig", i*100+k), seeded("gis", i*100+k)...)
			tx := db.Tx{Sig: market.Base58(sig), Inner: -1, Slot: c.OpenSlot + int64(k)*500, Result: db.TxOK,
				Name: name,
				At:   opened.Add(time.Duration(k) * 20 * time.Minute).UnixMilli(), Channel: c.ID, Authority: c.Payer}
			if name == "open" {
				tx.Amount = c.Deposit
			}
			txs = append(txs, tx)
		}
		list = append(list, c)
	}
	return list, txs
}

func voucherKey(channel int) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(seeded("voucher", channel))
}

// leases are what each channel's deposit paid, signed by both sides.
func leases(t *testing.T, rigs []db.Rig, chans []db.Channel, rng *rand.Rand) (out []db.Lease) {
	t.Helper()
	ends := []market.Code{market.CodeCompleted, market.CodeCompleted, market.CodeCompleted, market.CodeImageStalled,
		market.CodeStopped}
	for i, c := range chans {
		provider := ed25519.NewKeyFromSeed(seeded("rig", i))
		customer := ed25519.NewKeyFromSeed(seeded("customer", i%3))
		at := time.Unix(c.OpenedAt, 0).Add(time.Minute)
		left := c.Settled
		for k := range 1 + rng.IntN(3) {
			lot := rigs[i].Lots[0]
			ran := time.Duration(20+rng.IntN(9000)) * time.Second
			rate := market.Rate(max(lot.Rate, 1000))
			price, err := rate.For(1, ran)
			if err != nil || int64(price) > left {
				break
			}
			left -= int64(price)
			o := market.Outcome{Lease: market.LeaseID(seeded("lease", i*10+k)[:16]), Code: ends[rng.IntN(len(ends))],
				Fault: market.FaultNone, Accepted: at, Ready: at.Add(9 * time.Second),
				Ended:      at.Add(9*time.Second + ran),
				BillableMS: uint64(ran.Milliseconds()), Amount: price, OutputsRoot: [32]byte(seeded("out", i*10+k))}
			if o.Code == market.CodeImageStalled {
				o.Fault = market.FaultProvider
			}
			var docs [2][]byte
			for side, key := range []ed25519.PrivateKey{provider, customer} {
				if docs[side], err = wire.SealOutcome(key, network, o); err != nil {
					t.Fatal(err)
				}
			}
			who := market.NodeID(customer.Public().(ed25519.PublicKey))
			id, err := market.ParseAddress(c.ID)
			if err != nil {
				t.Fatal(err)
			}
			bind := escrow.SignBind(voucherKey(i), who, market.ChannelID(id))
			out = append(out, db.Lease{ID: o.Lease.String(), Accepted: o.Accepted.UnixMilli(),
				Ready: o.Ready.UnixMilli(),
				Ended: o.Ended.UnixMilli(), BillableMS: int64(o.BillableMS), Amount: int64(price), Code: string(o.Code),
				Fault: int64(o.Fault), Outputs: hex.EncodeToString(o.OutputsRoot[:]), ByProvider: docs[0],
				ByCustomer: docs[1],
				Deal: db.Deal{Class: lot.Class, Mint: db.SOLMint, Devices: 1, Rate: int64(rate), Provider: rigs[i].Peer,
					Customer: who.String(), Channel: c.ID, Payer: c.Payer, Payee: c.Payee, Bind: bind[:]}})
			at = o.Ended.Add(time.Duration(1+rng.IntN(60)) * time.Minute)
		}
	}
	return out
}

// history is what was asked each hour of 30 days.
func history(now time.Time, rng *rand.Rand) (out []db.Bucket) {
	end := now.Truncate(time.Hour)
	for _, m := range models {
		level := 1.0
		for h := 30 * 24; h > 0; h-- {
			level += (rng.Float64() - 0.497) * 0.012
			at := func(share float64) int64 { return int64(float64(m.rate) * level * share) }
			devices := int64(20 + rng.IntN(4))
			out = append(out, db.Bucket{Metric: db.MetricAsk, Key: m.class, Mint: db.SOLMint, Step: db.HourStep,
				At: end.Add(-time.Duration(h) * time.Hour).UnixMilli(), N: 9, Low: at(0.8), P10: at(0.86), P50: at(1),
				P90: at(1.18), High: at(1.3), Devices: devices, Free: devices - int64(rng.IntN(12))})
		}
	}
	return out
}

// probes are 90 days of dials: most rigs answer nearly always, one hardly ever.
func probes(rigs []db.Rig, now time.Time, rng *rand.Rand) (out [][]db.Probe) {
	for day := 89; day >= 0; day-- {
		for k := range 6 {
			var batch []db.Probe
			for i, r := range rigs {
				bad := i%9 == 4 && rng.IntN(3) == 0 || rng.IntN(60) == 0
				at := now.AddDate(0, 0, -day).Add(-time.Duration(6-k) * 20 * time.Minute)
				if day == 0 {
					at = now.Add(-time.Duration(6-k) * time.Minute)
				}
				batch = append(batch, db.Probe{Peer: r.Peer, At: at.UnixMilli(), OK: !bad,
					RTT: 9_000 + rng.Int64N(80_000)})
			}
			out = append(out, batch)
		}
	}
	return out
}

// filled is a market of n rigs with its history, as an indexer that has listened for long knows it.
func filled(t *testing.T, d *db.DB, n int) (ids map[string]string) {
	t.Helper()
	now := time.Now()
	seed := [32]byte{}
	binary.LittleEndian.PutUint64(seed[:], 7)
	rng := rand.New(rand.NewChaCha8(seed))
	apply := func(c db.Change) {
		t.Helper()
		if _, err := d.Apply(t.Context(), now, c); err != nil {
			t.Fatal(err)
		}
	}
	var rigs []db.Rig
	for i := range n {
		rigs = append(rigs, signed(t, i, now, rng))
	}
	apply(db.Change{Rigs: rigs, Buckets: history(now, rng), Meta: map[string]string{"genesis": genesis,
		"since": fmt.Sprint(now.AddDate(0, 0, -90).UnixMilli())}})
	for _, batch := range probes(rigs, now, rng) {
		apply(db.Change{Probes: batch})
	}
	list, txs := channels(rigs, now, rng)
	ended := leases(t, rigs, list, rng)
	apply(db.Change{Channels: list, Txs: txs, Leases: ended})
	if _, err := d.Sum(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"slug": "rtx-4090", "peer": rigs[0].Peer, "payout": rigs[0].Payout, "payer": list[0].Payer,
		"open": list[0].ID, "closing": list[1].ID, "sealed": list[2].ID, "gone": list[3].ID, "tx": txs[0].Sig,
		"lease": ended[0].ID}
}
