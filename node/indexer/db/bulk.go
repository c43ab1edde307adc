package db

import (
	"context"
	"fmt"
	"time"
)

// Bulk are reads of whole tables on connections of their own, for what takes long: pages do not wait for it. Each of
// its questions is short; no transaction is open between two, so nothing holds the writer's log.
type Bulk struct{ Reads }

// Bulk returns them.
func (d *DB) Bulk() *Bulk { return &Bulk{Reads{d.bulk}} }

// Span is a stretch of time: from it on, before its end. The zero value is all.
type Span struct{ From, Until time.Time }

// ms are its bounds as columns have them.
func (s Span) ms() (from, until int64) {
	const never = int64(1) << 62
	if until = never; !s.Until.IsZero() {
		until = s.Until.UnixMilli()
	}
	if !s.From.IsZero() {
		from = s.From.UnixMilli()
	}
	return from, until
}

// BucketsIn are the hours of a figure in a span, by key, mint and time, after one, at most n. key "": all.
func (d *Bulk) BucketsIn(ctx context.Context, metric, key string, in Span, after Bucket, n int) ([]Bucket, error) {
	from, until := in.ms()
	q := "SELECT " + bucketColumns +
		" FROM buckets WHERE metric = $1 AND step_s = $2 AND at >= $3 AND at < $4 AND (key, mint, at) > ($5, $6, $7)"
	args := []any{metric, HourStep, from, until, after.Key, after.Mint, after.At, n}
	if key != "" {
		q += " AND key = $9"
		args = append(args, key)
	}
	return list(ctx, &d.Reads, scanBucket, q+" ORDER BY key, mint, at LIMIT $8", args...)
}

// AllChannels are channels by id, after one, at most n.
func (d *Bulk) AllChannels(ctx context.Context, after string, n int) ([]Channel, error) {
	return list(ctx, &d.Reads, scanChannel,
		"SELECT "+channelColumns+" FROM channels WHERE id > $1 ORDER BY id LIMIT $2",
		after, n)
}

// Slots are the bounds of a span in slots: the first that is in it, and the first behind it. Block times grow with
// slots.
func (d *Bulk) Slots(ctx context.Context, in Span) (first, behind int64, err error) {
	from, until := in.ms()
	var low, high int64
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE(MIN(slot), 0), COALESCE(MAX(slot), -1) FROM chain_tx").
		Scan(&low, &high)
	if err != nil {
		return 0, 0, fmt.Errorf("read slots: %w", err)
	}
	if first, err = d.slotAt(ctx, from, low, high+1); err == nil {
		behind, err = d.slotAt(ctx, until, low, high+1)
	}
	return first, behind, err
}

// slotAt is the first slot from low on whose time is not before at; high if there is none.
func (d *Bulk) slotAt(ctx context.Context, at, low, high int64) (int64, error) {
	for low < high {
		mid := low + (high-low)/2
		var slot, is int64
		err := d.read.QueryRowContext(ctx, "SELECT slot, at FROM chain_tx WHERE slot >= $1 ORDER BY slot, sig LIMIT 1",
			mid).Scan(&slot, &is)
		if err != nil {
			return 0, fmt.Errorf("read slots: %w", err)
		}
		if is < at {
			low = slot + 1
		} else {
			high = mid
		}
	}
	return high, nil
}

// TxsIn are instructions from a slot on, before another, in the order of the chain, after one, at most n.
func (d *Bulk) TxsIn(ctx context.Context, first, behind int64, after Tx, n int) ([]Tx, error) {
	return list(ctx, &d.Reads, scanTx, "SELECT "+txColumns+" FROM chain_tx WHERE slot >= $1 AND slot < $2 AND "+
		"(slot, sig, outer_ix, inner_ix) > ($3, $4, $5, $6) ORDER BY slot, sig, outer_ix, inner_ix LIMIT $7",
		max(first, after.Slot), behind, after.Slot, after.Sig, after.Outer, after.Inner, n)
}

// Extent is when the first and the last row of a figure begin, unix ms; both 0: there is none.
func (d *Bulk) Extent(ctx context.Context, metric string) (first, last int64, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE(MIN(at), 0), COALESCE(MAX(at), 0) FROM buckets WHERE "+
		"metric = $1 AND step_s = $2", metric, HourStep).Scan(&first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("read the extent of %s: %w", metric, err)
	}
	return first, last, nil
}

// TxExtent is Extent of instructions: the times of the lowest and of the highest slot.
func (d *Bulk) TxExtent(ctx context.Context) (first, last int64, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE((SELECT at FROM chain_tx ORDER BY slot, sig LIMIT 1), 0), "+
		"COALESCE((SELECT at FROM chain_tx ORDER BY slot DESC, sig DESC LIMIT 1), 0)").Scan(&first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("read the extent of instructions: %w", err)
	}
	return first, last, nil
}

// LeasesIn are leases that ended in a span, by their end, after one, at most n. class "": of all models.
func (d *Bulk) LeasesIn(ctx context.Context, class string, in Span, after Lease, n int) ([]Lease, error) {
	from, until := in.ms()
	q := "SELECT " + leaseColumns + " FROM leases WHERE ended_at >= $1 AND ended_at < $2 AND " +
		"(ended_at, id, provider, customer) > ($3, $4, $5, $6)"
	args := []any{max(from, after.Ended), until, after.Ended, after.ID, after.Provider, after.Customer, n}
	if class != "" {
		q += " AND class = $8"
		args = append(args, class)
	}
	return list(ctx, &d.Reads, scanLease, q+" ORDER BY ended_at, id, provider, customer LIMIT $7", args...)
}

// LeaseExtent is Extent of the ends of leases.
func (d *Bulk) LeaseExtent(ctx context.Context) (first, last int64, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE(MIN(ended_at), 0), COALESCE(MAX(ended_at), 0) FROM leases").
		Scan(&first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("read the extent of leases: %w", err)
	}
	return first, last, nil
}

// ClearedIn are hours of cleared prices in a span, by class, mint and time, after one, at most n. class "": all.
func (d *Bulk) ClearedIn(ctx context.Context, class string, in Span, after Cleared, n int) ([]Cleared, error) {
	from, until := in.ms()
	q := "SELECT " + clearedColumns + " FROM cleared WHERE at >= $1 AND at < $2 AND (class, mint, at) > ($3, $4, $5)"
	args := []any{from, until, after.Class, after.Mint, after.At, n}
	if class != "" {
		q += " AND class = $7"
		args = append(args, class)
	}
	return list(ctx, &d.Reads, scanCleared, q+" ORDER BY class, mint, at LIMIT $6", args...)
}

// ClearedExtent is Extent of cleared prices.
func (d *Bulk) ClearedExtent(ctx context.Context) (first, last int64, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE(MIN(at), 0), COALESCE(MAX(at), 0) FROM cleared").
		Scan(&first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("read the extent of cleared prices: %w", err)
	}
	return first, last, nil
}
