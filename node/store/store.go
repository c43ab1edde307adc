package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/await"
)

// lockWait is how long Open waits for another process to let go of the file.
const lockWait = time.Second

// Errors of a Store.
var (
	ErrGuard    = errors.New("guard failed")
	ErrTooLarge = errors.New("change is too large")

	ErrDead error = &market.Error{
		Code: market.CodeStoreDead, Kind: market.KindInternal, Op: "store",
		Detail: "it is dead after a failed sync; restart the node", Hint: "check the disk, then gpuai node start",
	}
	ErrDiskFull error = &market.Error{Code: market.CodeDiskFull, Kind: market.KindUnavailable, Op: "store",
		Detail: "disk is full", Hint: "free some space where node.data_dir is"}
	ErrClosed error = &market.Error{Code: market.CodeNodeUnreachable, Kind: market.KindUnavailable, Op: "store",
		Detail: "it is closed: the node stops", Hint: "gpuai node start"}
)

// updater runs a function in a write transaction and commits it: bolt.DB.Update, or a test's version that fails.
type updater func(func(*bolt.Tx) error) error

// Store is an open state.db. Use Open; Close waits for the committer.
type Store struct {
	db      *bolt.DB
	update  updater
	unclean bool
	wg      sync.WaitGroup

	mu     sync.Mutex // never held over I/O
	queued sync.Cond
	queue  []request
	closed bool

	took   atomic.Pointer[func(time.Duration)] // hears how long each commit took
	events await.Bell

	dead    chan struct{} // closed after a failed sync
	deadErr error         // valid once dead is closed
}

// Open opens or creates path (0600, parent 0700), locks it for this process, checks its schema and every page and row
// in use; above 256 MiB these only after an unclean end.
// Errors: *market.Error node-running (another process holds it), version-mismatch (newer schema), data-dir-open
// (readable by others), store-damaged.
func Open(path string) (*Store, error) { return openWith(path, func(u updater) updater { return u }) }

func openWith(path string, wrap func(updater) updater) (*Store, error) {
	fresh, err := prepareFolder(path)
	if err != nil {
		return nil, err
	}
	if !fresh {
		if err := checkFile(path); err != nil {
			return nil, err
		}
	}
	opt := &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, NoFreelistSync: true}
	if runtime.GOOS != "windows" { // there it would be a file of that size
		opt.InitialMmapSize = 256 << 20
	}
	db, err := openBolt(path, opt)
	if err != nil {
		return nil, err
	}
	if err := backUp(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &Store{db: db, update: wrap(db.Update), dead: make(chan struct{})}
	s.queued.L = &s.mu
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if fresh {
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	s.wg.Go(s.commitLoop)
	return s, nil
}

// openBolt names what went wrong; bbolt panics on some damage.
func openBolt(path string, opt *bolt.Options) (db *bolt.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(path, fmt.Sprint(r))
		}
	}()
	db, err = bolt.Open(path, fs.FileMode(0o600), opt)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, &market.Error{Code: market.CodeNodeRunning, Kind: market.KindConflict, Op: "open store",
			Detail: path,
			Hint:   "another node uses this data folder: gpuai node stop"}
	case errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum):
		return nil, damaged(path, err.Error())
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return db, nil
}

// prepareFolder makes the folder, or refuses one that others can read: amounts, peers and documents are the user's own
// business.
func prepareFolder(path string) (fresh bool, err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("create data folder: %w", err)
	}
	for _, x := range []struct{ name, mode string }{{dir, "700"}, {path, "600"}} {
		info, err := os.Stat(x.name)
		if errors.Is(err, fs.ErrNotExist) && x.name == path {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("open store: %w", err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // its modes say nothing
			return false, &market.Error{Code: market.CodeDataDirOpen, Kind: market.KindDenied, Op: "open store",
				Detail: x.name + " is open to others", Hint: "chmod " + x.mode + " " + x.name}
		}
		fresh = x.name == path && info.Size() == 0
	}
	return fresh, nil
}

// backUp keeps a file of an older schema as it is beside itself, whole or not at all.
func backUp(db *bolt.DB) error {
	path, schema := db.Path(), uint32(schemaVersion)
	if err := db.View(func(tx *bolt.Tx) error { schema = schemaOf(tx); return nil }); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	if schema >= schemaVersion {
		return nil
	}
	fail := func(err error) error {
		return &market.Error{Code: market.CodeDiskFull, Kind: market.KindUnavailable, Op: "back up store", Err: err,
			Detail: "the copy of before this version was not written", Hint: "free some space where node.data_dir is"}
	}
	in, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	to := fmt.Sprintf("%s.schema%d", path, schema)
	out, err := os.OpenFile(to+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(to+".part", to); err != nil {
		return fail(err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the new file's name survive a power cut.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync data folder: %w", err)
	}
	return nil
}

// prepare creates buckets, checks the schema and takes the mark of a clean end away.
func (s *Store) prepare() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return fmt.Errorf("create bucket %s: %w", b, err)
			}
		}
		meta := tx.Bucket([]byte(BucketMeta))
		v := meta.Get([]byte(keySchema))
		if v == nil {
			return meta.Put([]byte(keySchema), binary.BigEndian.AppendUint32(nil, schemaVersion))
		}
		if binary.BigEndian.Uint32(v) < schemaVersion {
			if err := migrate3(tx); err != nil {
				return damaged(s.db.Path(), err.Error())
			}
			if err := meta.Put([]byte(keySchema), binary.BigEndian.AppendUint32(nil, schemaVersion)); err != nil {
				return err
			}
		}
		s.unclean = meta.Get([]byte(keyClean)) == nil
		return meta.Delete([]byte(keyClean))
	})
}

// Unclean reports whether the last user of an existing store ended without Close. The newest commit may then be missing
// if the disk lied: peers repeat their last message, and a Release may have been forgotten.
func (s *Store) Unclean() bool { return s.unclean }

// OnCommit makes f hear how long each group of commits took; it must not block.
func (s *Store) OnCommit(f func(time.Duration)) { s.took.Store(&f) }

// Dead is closed after a failed sync: the node must restart, only the disk has the truth.
func (s *Store) Dead() <-chan struct{} { return s.dead }

func (s *Store) die(err error) {
	s.deadErr = fmt.Errorf("%w: %w", ErrDead, err)
	close(s.dead)
}

// alive returns ErrDead after a failed sync.
func (s *Store) alive() error {
	select {
	case <-s.dead:
		return s.deadErr
	default:
		return nil
	}
}

// Get returns a copy of a value, nil if absent. Errors: ErrDead, an unknown bucket, *market.Error store-damaged.
func (s *Store) Get(bucket string, key []byte) (v []byte, err error) {
	err = s.view(bucket, func(b *bolt.Bucket) error {
		v, err = s.value(bucket, key, b.Get(key))
		return err
	})
	return v, err
}

// Scan calls f for copies of all entries below prefix in key order, outside the read transaction, so f may Commit.
// Errors: ErrDead, an unknown bucket, *market.Error store-damaged before anything is called, f's own, which ends the
// scan.
func (s *Store) Scan(bucket string, prefix []byte, f func(key, value []byte) error) error {
	var keys, values [][]byte
	err := s.view(bucket, func(b *bolt.Bucket) error {
		c := b.Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			value, err := s.value(bucket, k, v)
			if err != nil {
				return err
			}
			keys, values = append(keys, bytes.Clone(k)), append(values, value)
		}
		return nil
	})
	for i := 0; err == nil && i < len(keys); i++ {
		err = f(keys[i], values[i])
	}
	return err
}

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// Page returns copies of at most n entries in key order, after a key, nil: from the first; backwards those before it,
// nil: from the last. Errors: as Get.
func (s *Store) Page(bucket string, after []byte, n int, backwards bool) (out []Entry, err error) {
	err = s.view(bucket, func(b *bolt.Bucket) error {
		c := b.Cursor()
		k, v := c.Seek(after)
		next := c.Next
		switch {
		case backwards && (after == nil || k == nil): // no key is at or above it
			k, v = c.Last()
			next = c.Prev
		case backwards:
			k, v = c.Prev()
			next = c.Prev
		case after == nil:
			k, v = c.First()
		case bytes.Equal(k, after):
			k, v = c.Next()
		}
		for ; k != nil && len(out) < n; k, v = next() {
			value, err := s.value(bucket, k, v)
			if err != nil {
				return err
			}
			out = append(out, Entry{bytes.Clone(k), value})
		}
		return nil
	})
	return out, err
}

// view reads one bucket. A dead store is not read: what it shows may not be on disk.
func (s *Store) view(bucket string, f func(*bolt.Bucket) error) error {
	if err := s.alive(); err != nil {
		return err
	}
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("no bucket %q", bucket)
		}
		return f(b)
	})
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Close commits what is queued, marks the end as clean and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.queued.Signal()
	s.mu.Unlock()
	s.wg.Wait()
	if s.alive() != nil {
		return s.db.Close()
	}
	err := s.update(func(tx *bolt.Tx) error {
		// The list of free pages spares the next start a walk through all others. Above maxCheck nothing would check
		// it.
		s.db.NoFreelistSync = tx.Size() > maxCheck
		return tx.Bucket([]byte(BucketMeta)).Put([]byte(keyClean), []byte{1})
	})
	if isDiskFull(err) {
		err = nil // the mark is a favour to the next start
	}
	return errors.Join(err, s.db.Close())
}
