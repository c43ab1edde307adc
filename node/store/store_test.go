package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "data", "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(bucket, key, value string) Put { return Put{bucket, []byte(key), []byte(value)} }

func TestCommit_GuardRefusesOnlyItsOwnChange(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), context.Background()
	if err := s.Commit(ctx, Change{Puts: []Put{put(BucketDevices, "d", "free")}}); err != nil {
		t.Fatal(err)
	}
	const n = 50
	var wg sync.WaitGroup
	results := make([]error, n)
	for i := range n {
		wg.Go(func() {
			results[i] = s.Commit(ctx, Change{
				Guards: []Guard{{BucketDevices, []byte("d"), []byte("free")}},
				Puts:   []Put{put(BucketDevices, "d", fmt.Sprint("leased ", i)), put(BucketLeases, fmt.Sprint(i), "x")},
			})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrGuard) {
			t.Fatal(err)
		}
	}
	leases := 0
	if err := s.Scan(BucketLeases, nil, func(_, _ []byte) error { leases++; return nil }); err != nil {
		t.Fatal(err)
	}
	if won != 1 || leases != 1 {
		t.Fatalf("%d reservations and %d leases of one device, want 1", won, leases)
	}
}

func TestCommit_IsOnDiskOnceNil(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Commit(context.Background(), Change{Puts: []Put{put(BucketMeta, "k", "v")}}); err != nil {
		t.Fatal(err)
	}
	// A power cut: the file as it is now, without Close.
	raw, err := os.ReadFile(s.db.Path())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if v, err := again.Get(BucketMeta, []byte("k")); err != nil || string(v) != "v" {
		t.Fatalf("after a crash: %q, %v", v, err)
	}
}

func TestOpen_RefusesNewerSchemaAndSecondNode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Fatal("a second process opened the same store")
	}
	newer := Put{BucketMeta, []byte("schema"), binary.BigEndian.AppendUint32(nil, schemaVersion+1)}
	if err := s.Commit(context.Background(), Change{Puts: []Put{newer}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Fatal("a newer schema was opened")
	}
	if err := s.Commit(context.Background(), Change{}); !errors.Is(err, ErrClosed) {
		t.Fatalf("commit after close: %v", err)
	}
}

func BenchmarkCommit(b *testing.B) {
	s, ctx := open(b), context.Background()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		value := make([]byte, 200)
		for pb.Next() {
			if err := s.Commit(ctx, Change{Puts: []Put{{BucketChannels, []byte("channel"), value}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
