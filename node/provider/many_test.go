package provider

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/lease"
	"github.com/gpuai/gpuai/node/rows"
	"github.com/gpuai/gpuai/node/store"
)

// manyLeases is a channel in a store of its own, with one live lease, 1, and many that ended, each owing and paid 10.
type manyLeases struct {
	b    *books
	ch   *channel
	key  ed25519.PrivateKey
	paid market.Amount
}

func leaseNo(i int) (id market.LeaseID) {
	binary.BigEndian.PutUint32(id[:], uint32(i))
	return id
}

func newManyLeases(t *testing.T, many int) *manyLeases {
	t.Helper()
	db, err := store.Open(filepath.Join(t.TempDir(), "d", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	clock, err := lease.NewClock()
	if err != nil {
		t.Fatal(err)
	}
	c := &common{db: db, clock: clock, log: slog.New(slog.DiscardHandler)}
	m := &manyLeases{key: ed25519.NewKeyFromSeed(make([]byte, 32))}
	m.b = newBooks(c, newSums(c, func(market.DeviceID) string { return market.ClassCPU }))
	m.ch = m.b.create(escrow.ChannelState{ID: market.ChannelID{9}, Status: escrow.StatusOpen, Deposit: 1_000_000,
		VoucherKey: escrow.PublicKey(m.key)}, channelRow{})
	err = m.b.keep(t.Context(), m.ch, func(e *entry) (err error) {
		for i := range many {
			id := leaseNo(i + 2)
			if e.Account, err = e.Account.AddLease(id, 10, 0); err != nil {
				return err
			}
			if e.Account, _, err = e.Account.TakePayment(m.payment(id, 10, 10)); err != nil {
				return err
			}
			e.Account = e.Account.EndLease(id, 10)
			m.b.sums.enter(sale{lease: id, devices: []market.DeviceID{{1}}, now: frozen(market.Lease{}), left: true})
		}
		e.Account, err = e.Account.AddLease(leaseNo(1), 1_000, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// payment pays so much more on the channel, share of it for a lease.
func (m *manyLeases) payment(id market.LeaseID, share, more market.Amount) market.Payment {
	m.paid += more
	v := escrow.Voucher{Channel: market.ChannelID{9}, Amount: m.paid}.Sign(m.key)
	return market.Payment{Lease: id, LeaseAmount: share, Voucher: v.Encode(), Sig: v.Sig}
}

// rows are all rows of the books and the sums.
func (m *manyLeases) rows(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, bucket := range []string{store.BucketChannels, store.BucketShares, store.BucketVouchers, bucketEarned} {
		err := m.b.db.Scan(bucket, nil, func(k, v []byte) error { all[bucket+string(k)] = string(v); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// pay takes a payment of the live lease and returns how many bytes of rows it wrote.
func (m *manyLeases) pay(t *testing.T, share, more market.Amount) (bytes int) {
	t.Helper()
	before := m.rows(t)
	account, _ := m.ch.See()
	p := m.payment(leaseNo(1), share, more)
	checked, _, err := account.Check(p)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := m.b.take(context.Background(), &leaseRun{}, m.ch, checked, p, nil); err != nil ||
		stored != m.paid {
		t.Fatalf("stored %d, %v", stored, err)
	}
	for k, v := range m.rows(t) {
		if before[k] != v {
			bytes += len(k) + len(v)
		}
	}
	return bytes
}

// TestTake_ManyEndedLeases_WritesLittle: with a thousand ended leases on its channel, whose money is on no chain yet, a
// payment's rows with its lease's longest tick stay within 1.5 KiB. The first one after their claim says since when
// there is something to claim, in the channel's row: it does so with a usual tick.
func TestTake_ManyEndedLeases_WritesLittle(t *testing.T) {
	t.Parallel()
	const most, usualTick = 1536 - rows.MaxTick, 400
	m := newManyLeases(t, 1_000)
	m.pay(t, 1, 1) // the channel's row: since when there is something to claim
	if n := m.pay(t, 2, 1); n == 0 || n > most {
		t.Errorf("a payment wrote %d bytes", n)
	}
	err := m.b.keep(t.Context(), m.ch, func(e *entry) error {
		e.Account.Settled, e.Own.OldestUnclaimed = 10_000, time.Time{} // as settle does
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, r := m.ch.See(); len(a.Leases) != 1 || a.Past.Leases != 1_000 || len(r.booked().Leases) > 1 {
		t.Errorf("%d shares, %d folded, %d bookings", len(a.Leases), a.Past.Leases, len(r.booked().Leases))
	}
	if n := m.pay(t, 3, 1); n == 0 || n > 1536-usualTick {
		t.Errorf("a payment after the claim wrote %d bytes", n)
	}
}
