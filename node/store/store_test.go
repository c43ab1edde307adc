package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

func dbPath(t testing.TB) string { return filepath.Join(t.TempDir(), "data", "state.db") }

func open(t testing.TB) *Store { return openAt(t, dbPath(t), func(u updater) updater { return u }) }

func openAt(t testing.TB, path string, wrap func(updater) updater) *Store {
	t.Helper()
	s, err := openWith(path, wrap)
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

// crashed is a copy of the file as it is now, without Close.
func crashed(t *testing.T, s *Store) string {
	t.Helper()
	raw, err := os.ReadFile(s.db.Path())
	if err != nil {
		t.Fatal(err)
	}
	path := dbPath(t)
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommit_IsOnDiskOnceNil(t *testing.T) {
	t.Parallel()
	s := open(t)
	if s.Unclean() {
		t.Fatal("a new store is unclean")
	}
	if err := s.Commit(context.Background(),
		Change{Puts: []Put{put(BucketMeta, "k", "v"), put(BucketMeta, "gone", "v")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(context.Background(),
		Change{Puts: []Put{put(BucketMeta, "k", "w")}, Deletes: []Ref{{BucketMeta, []byte("gone")}}}); err != nil {
		t.Fatal(err)
	}
	path := crashed(t, s)
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := again.Get(BucketMeta, []byte("k")); err != nil || string(v) != "w" || !again.Unclean() {
		t.Fatalf("after a crash: %q, %v, unclean %v", v, err, again.Unclean())
	}
	if v, err := again.Get(BucketMeta, []byte("gone")); err != nil || v != nil {
		t.Fatalf("deleted: %q, %v", v, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if again = openAt(t, path, func(u updater) updater { return u }); again.Unclean() {
		t.Fatal("a closed store is unclean")
	}
}

func TestOpen_RefusesNewerSchemaAndSecondNode(t *testing.T) {
	t.Parallel()
	path := dbPath(t)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); market.CodeOf(err) != market.CodeNodeRunning {
		t.Fatalf("a second process: %v", err)
	}
	newer := Put{BucketMeta, []byte("schema"), binary.BigEndian.AppendUint32(nil, schemaVersion+1)}
	if err := s.Commit(context.Background(), Change{Puts: []Put{newer}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); market.CodeOf(err) != market.CodeVersionMismatch {
		t.Fatalf("a newer schema: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Fatalf("a refused file was changed, %v", err)
	}
	if err := s.Commit(context.Background(), Change{}); !errors.Is(err, ErrClosed) {
		t.Fatalf("commit after close: %v", err)
	}
	if _, err := s.Get(BucketMeta, []byte("schema")); !errors.Is(err, ErrClosed) {
		t.Fatalf("read after close: %v", err)
	}
}

func TestOpen_RefusesWhatOthersCanRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing there")
	}
	path := dbPath(t)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		mode fs.FileMode
	}{{path, 0o640}, {filepath.Dir(path), 0o755}} {
		if err := os.Chmod(x.name, x.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		var e *market.Error
		if !errors.As(err, &e) || e.Code != market.CodeDataDirOpen || !strings.HasSuffix(e.Hint, x.name) {
			t.Errorf("%s with mode %o: %v", x.name, x.mode, err)
		}
	}
}

// TestOpen_DamageIsNamed: whatever is broken, the user gets a word, not a stack trace; and an intact copy opens.
func TestOpen_DamageIsNamed(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 40 { // enough for branch pages
		var c Change
		for j := range 20 {
			c.Puts = append(c.Puts, put(BucketLeases, fmt.Sprintf("lease %03d %03d", i, j), strings.Repeat("x", 300)))
		}
		if err := s.Commit(context.Background(), c); err != nil {
			t.Fatal(err)
		}
	}
	page, used := s.db.Info().PageSize, int64(0)
	if err := s.db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(crashed(t, s))
	if err != nil {
		t.Fatal(err)
	}
	good = good[:used]
	path := dbPath(t)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(raw []byte, from, to int) {
		raw = append([]byte{}, raw...)
		clear(raw[from:to])
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		name     string
		raw      []byte
		from, to int
		code     market.Code
	}{
		{"intact", good, 0, 0, ""},
		{"no bbolt file", []byte(strings.Repeat("hello", 10000)), 0, 0, market.CodeStoreDamaged},
		{"cut in the middle", good[:len(good)/2/page*page], 0, 0, market.CodeStoreDamaged},
		{"both metas", good, 0, 2 * page, market.CodeStoreDamaged},
	} {
		write(x.raw, x.from, x.to)
		db, err := Open(path)
		if err == nil {
			err = db.Close()
		}
		if market.CodeOf(err) != x.code || (err == nil) != (x.code == "") {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	refused := 0
	for at := 2 * page; at < len(good); at += page { // a free page may be damaged unseen
		write(good, at, at+page)
		if err := checkFile(path); market.CodeOf(err) == market.CodeStoreDamaged {
			refused++
		} else if err != nil {
			t.Errorf("page %d: %v", at/page, err)
		}
	}
	if refused < 40 {
		t.Errorf("%d of %d damaged pages were noticed", refused, len(good)/page)
	}
}

func TestCommit_InvalidChangeHarmsNoOther(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), context.Background()
	for name, c := range map[string]Change{
		"unknown bucket":  {Puts: []Put{put("nowhere", "k", "v")}},
		"unknown guarded": {Guards: []Guard{{"nowhere", []byte("k"), nil}}},
		"unknown deleted": {Deletes: []Ref{{"nowhere", []byte("k")}}},
		"empty key":       {Puts: []Put{put(BucketMeta, "", "v")}},
		"endless key":     {Puts: []Put{put(BucketMeta, strings.Repeat("k", bolt.MaxKeySize+1), "v")}},
		"too large":       {Puts: []Put{{BucketMeta, []byte("k"), make([]byte, maxChangeBytes)}}},
		"too many":        {Deletes: make([]Ref, maxKeys+1)},
		"guard with value": {Guards: []Guard{{BucketMeta, []byte("absent"), []byte("x")}},
			Puts: []Put{put(BucketMeta, "k", "v")}},
		"guard of absence": {Guards: []Guard{{BucketMeta, []byte(keySchema), nil}},
			Puts: []Put{put(BucketMeta, "k", "v")}},
		"guard of empty": {Guards: []Guard{{BucketMeta, []byte("absent"), []byte{}}},
			Puts: []Put{put(BucketMeta, "k", "v")}},
	} {
		if err := s.Commit(ctx, c); err == nil {
			t.Errorf("%s: committed", name)
		}
	}
	if err := s.Commit(ctx, Change{Puts: []Put{put(BucketMeta, "after", "v")}}); err != nil {
		t.Fatalf("a good change after bad ones: %v", err)
	}
	if v, err := s.Get(BucketMeta, []byte("k")); err != nil || v != nil {
		t.Fatalf("a refused change left %q, %v", v, err)
	}
}

// stalled lets the test hold the first commit, so that a known set of Changes queues behind it, and choose what later
// ones return.
type stalled struct {
	hold, held chan struct{}
	fail       func(n int) error // for the n-th commit, from 0
	n          int
	sizes      []int
}

func (x *stalled) wrap(u updater) updater {
	return func(f func(*bolt.Tx) error) error {
		n := x.n
		x.n++
		if n == 0 {
			close(x.held)
			<-x.hold
		}
		err := u(func(tx *bolt.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			if x.fail != nil {
				return x.fail(n) // rolls back
			}
			return nil
		})
		return err
	}
}

// queued commits a first Change, and while it is held queues n more; it returns the results in order.
func (x *stalled) queued(t *testing.T, s *Store, n int, change func(i int) Change) (results []error) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Commit(context.Background(), Change{}); err != nil {
			t.Error(err)
		}
	})
	<-x.held
	results = make([]error, n)
	for i := range n {
		r := request{c: change(i), size: change(i).size(), done: make(chan error, 1)}
		if err := s.enqueue(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { results[i] = <-r.done })
	}
	close(x.hold)
	wg.Wait()
	return results
}

func newStalled() *stalled { return &stalled{hold: make(chan struct{}), held: make(chan struct{})} }

func number(i int) Change { return Change{Puts: []Put{put(BucketEvents, fmt.Sprint(i), "v")}} }

func TestCommit_WhatQueuesSharesOneSync(t *testing.T) {
	t.Parallel()
	x := newStalled()
	s := openAt(t, dbPath(t), x.wrap)
	for _, err := range x.queued(t, s, 500, number) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if x.n != 2 {
		t.Fatalf("%d commits for 1 + 500 changes, want 2", x.n)
	}
}

func TestCommit_GroupIsBounded(t *testing.T) {
	t.Parallel()
	x := newStalled()
	s := openAt(t, dbPath(t), x.wrap)
	big := func(i int) Change {
		return Change{Puts: []Put{{BucketEvents, fmt.Append(nil, i), make([]byte, maxGroupBytes/4)}}}
	}
	for _, err := range x.queued(t, s, 9, big) { // 3 fit into 1 MiB beside their keys
		if err != nil {
			t.Fatal(err)
		}
	}
	if x.n != 4 {
		t.Fatalf("%d commits for 1 + 9 changes of 256 KiB, want 4", x.n)
	}
}

func TestCommit_FailedSyncIsTheEnd(t *testing.T) {
	t.Parallel()
	x := newStalled()
	x.fail = func(n int) error {
		if n == 1 {
			return syscall.EIO
		}
		return nil
	}
	s := openAt(t, dbPath(t), x.wrap)
	for _, err := range x.queued(t, s, maxGroup+10, number) { // the second group meets a dead store
		if !errors.Is(err, ErrDead) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("after a failed sync: %v", err)
		}
	}
	<-s.Dead()
	if err := s.Commit(context.Background(), number(1)); !errors.Is(err, ErrDead) || x.n != 2 {
		t.Fatalf("a dead store was written %d times: %v", x.n, err)
	}
	if _, err := s.Get(BucketMeta, []byte(keySchema)); !errors.Is(err, ErrDead) {
		t.Fatalf("a dead store was read: %v", err)
	}
}

func TestCommit_DiskFullRefusesOnlyGrowth(t *testing.T) {
	t.Parallel()
	x := newStalled()
	noRoom := &fs.PathError{Op: "write", Path: "state.db", Err: syscall.ENOSPC}
	x.fail = func(n int) error {
		if n == 1 || n == 3 { // the group; then its second Change alone
			return noRoom
		}
		return nil
	}
	s := openAt(t, dbPath(t), x.wrap)
	for i, err := range x.queued(t, s, 3, number) {
		if want := i == 1; errors.Is(err, ErrDiskFull) != want || (err != nil) != want {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if s.alive() != nil {
		t.Fatal("a full disk killed the store")
	}
	for _, c := range []struct {
		err  error
		full bool
	}{
		{fmt.Errorf("wrapped: %w", noRoom), true},
		{errors.New("file resize error: truncate state.db: no space left on device"), true},
		{syscall.ENOSPC, false}, // fdatasync
		{&fs.PathError{Op: "sync", Err: syscall.ENOSPC}, false},
		{errors.New("file sync error: no space left on device"), false},
		{&fs.PathError{Op: "write", Err: syscall.EIO}, false},
		{nil, false},
	} {
		if isDiskFull(c.err) != c.full {
			t.Errorf("%v: disk full %v", c.err, !c.full)
		}
	}
}

func TestCommit_CancelledWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	x := newStalled()
	s := openAt(t, dbPath(t), x.wrap)
	var first error
	var wg sync.WaitGroup
	wg.Go(func() { first = s.Commit(context.Background(), Change{}) })
	<-x.held
	for range 4096 {
		if err := s.enqueue(context.Background(), request{done: make(chan error, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var late error
	wg.Go(func() { late = s.Commit(ctx, number(1)) })
	cancel()
	close(x.hold)
	wg.Wait()
	if first != nil || late != nil && !errors.Is(late, context.Canceled) {
		t.Fatalf("first %v, late %v", first, late)
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
