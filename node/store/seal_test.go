package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// TestSeal_GoldenBytes: what stands on disks may not change its meaning.
func TestSeal_GoldenBytes(t *testing.T) {
	t.Parallel()
	type lease struct {
		State int `json:"state"`
	}
	got := hex.EncodeToString(seal(BucketLeases, []byte{1, 2}, Row(lease{3})))
	if want := "02" + "83d4fca8" + "01" + hex.EncodeToString([]byte(`{"state":3}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := seal(BucketMeta, []byte("schema"), []byte{0, 0, 0, 2}); !bytes.Equal(got, []byte{0, 0, 0, 2}) {
		t.Errorf("the schema is %x", got)
	}
	for name, raw := range map[string][]byte{"row": Row(lease{3}), "json": []byte(`{"a":1}`)} {
		if v, err := unseal(BucketJobs, []byte("k"), raw); err != nil || !bytes.Equal(v, raw) {
			t.Errorf("an old %s: %q, %v", name, v, err)
		}
	}
}

// TestOpen_OldStore_IsReadAndGuarded: a file of schema 1 opens, its rows read and guard as before, and change into
// sealed ones.
func TestOpen_OldStore_IsReadAndGuarded(t *testing.T) {
	t.Parallel()
	path := dbPath(t)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	old, job := Row(map[string]int{"State": 1}), []byte(`{"handle":{"v":1}}`)
	err = db.Update(func(tx *bolt.Tx) error {
		var errs []error
		for bucket, kv := range map[string][2][]byte{
			BucketMeta: {[]byte(keySchema), binary.BigEndian.AppendUint32(nil, 1)}, BucketDevices: {[]byte("d"), old},
			BucketJobs:   {[]byte("j"), job},
			BucketEvents: {binary.BigEndian.AppendUint64(nil, 1), Row(Event{Topic: "lease", ID: "x"})},
		} {
			b, err := tx.CreateBucketIfNotExists([]byte(bucket))
			errs = append(errs, err, b.Put(kv[0], kv[1]), b.SetSequence(1))
		}
		return errors.Join(errs...)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, func(u updater) updater { return u })
	for bucket, kv := range map[string][2][]byte{BucketDevices: {[]byte("d"), old}, BucketJobs: {[]byte("j"), job}} {
		if v, err := s.Get(bucket, kv[0]); err != nil || !bytes.Equal(v, kv[1]) {
			t.Errorf("%s: %q, %v", bucket, v, err)
		}
	}
	if rows, _, _, err := s.Events(0, 10); err != nil || len(rows) != 1 || rows[0].ID != "x" {
		t.Errorf("events %+v, %v", rows, err)
	}
	next := Row(map[string]int{"State": 2})
	for _, want := range [][]byte{old, next} { // over the old row, and over the new one
		if err := s.Commit(t.Context(),
			Change{Guards: []Guard{{BucketDevices, []byte("d"), want}},
				Puts: []Put{{BucketDevices, []byte("d"), next}}}); err != nil {
			t.Errorf("guarded by %q: %v", want, err)
		}
	}
	if v, err := s.Get(BucketMeta, []byte(keySchema)); err != nil || binary.BigEndian.Uint32(v) != schemaVersion {
		t.Errorf("schema %x, %v: an older program would read this file", v, err)
	}
}

// TestOpen_FlippedBytes_AreNamedOrHarmless: whatever byte of the file is wrong, either the store is refused as damaged
// before anybody uses it, or each row is as it was.
func TestOpen_FlippedBytes_AreNamedOrHarmless(t *testing.T) {
	t.Parallel()
	s, want := open(t), map[string][]byte{}
	for i := range 60 {
		var c Change
		for _, bucket := range []string{BucketLeases, BucketChannels, BucketJobs} {
			v := Row(map[string]any{"Amount": i * 1_000_003, "Name": fmt.Sprintf("row %d of %s", i, bucket)})
			if bucket == BucketJobs {
				v = v[1:]
			}
			k := fmt.Sprintf("key %03d", i)
			c.Puts, want[bucket+k] = append(c.Puts, Put{bucket, []byte(k), v}), v
		}
		if err := s.Commit(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(crashed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var used int64
	if err := s.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	good = good[:used]
	rnd := rand.New(rand.NewPCG(1, 2))
	named := 0
	for range 150 {
		path := dbPath(t)
		raw := bytes.Clone(good)
		at := rnd.IntN(len(raw))
		raw[at] ^= byte(1 + rnd.IntN(255))
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600)); err != nil {
			t.Fatal(err)
		}
		again, err := Open(path)
		if err != nil {
			if named++; market.CodeOf(err) != market.CodeStoreDamaged {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		for _, bucket := range []string{BucketLeases, BucketChannels, BucketJobs} {
			err := again.Scan(bucket, nil, func(k, v []byte) error {
				if !bytes.Equal(want[bucket+string(k)], v) {
					return fmt.Errorf("%s %s is %q", bucket, k, v)
				}
				return nil
			})
			if err != nil {
				t.Errorf("byte %d: %v", at, err)
			}
		}
		if err := again.Close(); err != nil {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if named == 0 {
		t.Error("no flip hit anything")
	}
}

// TestGet_DamageBehindTheOpening_HasItsCode: a disk can rot while the node runs.
func TestGet_DamageBehindTheOpening_HasItsCode(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Commit(t.Context(), Change{Puts: []Put{put(BucketLeases, "k", "value")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(BucketLeases))
		raw := bytes.Clone(b.Get([]byte("k")))
		raw[len(raw)-1] ^= 1
		return b.Put([]byte("k"), raw)
	}); err != nil {
		t.Fatal(err)
	}
	_, gerr := s.Get(BucketLeases, []byte("k"))
	serr := s.Scan(BucketLeases, nil, func(_, _ []byte) error { return nil })
	cerr := s.Commit(t.Context(), Change{Guards: []Guard{{BucketLeases, []byte("k"), []byte("value")}}})
	for _, err := range []error{gerr, serr, cerr} {
		if market.CodeOf(err) != market.CodeStoreDamaged {
			t.Errorf("got %v", err)
		}
	}
	if err := s.Commit(t.Context(), Change{Deletes: []Ref{{BucketLeases, []byte("k")}}}); err != nil {
		t.Error(err)
	}
}
