package main

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// syncAlone appends a voucher and its signature to a file and syncs it, one after another: what a store without group
// commit does at least. The result is how long each took.
func syncAlone(ctx context.Context, dir string, d time.Duration) (took []time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "alone"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var voucher [114]byte
	for began := time.Now(); time.Since(began) < d && ctx.Err() == nil; {
		was := time.Now()
		if _, err := f.Write(voucher[:]); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(was))
	}
	return took, ctx.Err()
}

// batchAlone has as many goroutines as the rig has jobs put the rows of one voucher each with bbolt's own group commit:
// one bucket, and the sizes of a tick, a share and a voucher.
func batchAlone(ctx context.Context, dir string, d time.Duration) (perSecond float64, err error) {
	db, err := bolt.Open(filepath.Join(dir, "batch"), 0o600, &bolt.Options{NoFreelistSync: true,
		FreelistType: bolt.FreelistMapType})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	name := []byte("rows")
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(name); return err })
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var n atomic.Uint64
	var wg sync.WaitGroup
	errs := make([]error, voucherJobs)
	began := time.Now()
	for i := range voucherJobs {
		wg.Go(func() {
			for ctx.Err() == nil && errs[i] == nil {
				errs[i] = db.Batch(func(tx *bolt.Tx) error { return putRows(tx.Bucket(name), uint64(i)) })
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

func putRows(b *bolt.Bucket, i uint64) error {
	for row, size := range []int{400, 24, 114} {
		key := binary.BigEndian.AppendUint64(make([]byte, 32), i<<8|uint64(row))
		if err := b.Put(key, make([]byte, size)); err != nil {
			return err
		}
	}
	return nil
}
