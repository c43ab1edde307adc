package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// Limits of group commit: what one transaction takes, and how many callers may queue before they block.
const (
	maxGroup      = 1024
	maxGroupBytes = 1 << 20
	queueSize     = 4096
	maxKeys       = 4096
)

// Errors of Commit.
var (
	ErrGuard    = errors.New("guard failed")
	ErrDead     = errors.New("store is dead after a failed sync; restart the node")
	ErrDiskFull = errors.New("disk is full")
	ErrClosed   = errors.New("store is closed")
)

// Guard demands that a key holds Want; nil: that it is absent.
type Guard struct {
	Bucket    string
	Key, Want []byte
}

// Put writes a value; Ref names a key.
type (
	Put struct {
		Bucket     string
		Key, Value []byte
	}
	Ref struct {
		Bucket string
		Key    []byte
	}
)

// Change is one atomic step, as data: guards first, then deletes and puts.
type Change struct {
	Guards  []Guard
	Puts    []Put
	Deletes []Ref
}

func (c Change) size() (n int) {
	for _, p := range c.Puts {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

type request struct {
	c    Change
	done chan error
}

// Store is an open state.db. Use Open; Close waits for the committer.
type Store struct {
	db    *bolt.DB
	queue chan request
	mu    sync.RWMutex // closed and dead against senders
	close bool
	dead  error
	wg    sync.WaitGroup
}

// Open opens or creates path (0600, parent 0700), locks it for this process, and checks the schema.
// Errors: *market.Error version-mismatch (newer schema), conflict (another process holds it), internal (damage).
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	opt := &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoFreelistSync: true}
	if runtime.GOOS != "windows" { // there it would be a file of that size
		opt.InitialMmapSize = 256 << 20
	}
	db, err := bolt.Open(path, fs.FileMode(0o600), opt)
	if errors.Is(err, bolt.ErrTimeout) {
		return nil, &market.Error{Code: "node-running", Kind: market.KindConflict, Op: "open store", Detail: path, Hint: "another node uses this data folder: gpuai node stop"}
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	s := &Store{db: db, queue: make(chan request, queueSize)}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.wg.Go(s.commitLoop)
	return s, nil
}

func (s *Store) prepare() error {
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte(BucketMeta))
		v := meta.Get([]byte("schema"))
		if v == nil {
			return meta.Put([]byte("schema"), binary.BigEndian.AppendUint32(nil, schemaVersion))
		}
		if got := binary.BigEndian.Uint32(v); got > schemaVersion {
			return &market.Error{Code: "version-mismatch", Kind: market.KindConflict, Op: "open store", Detail: fmt.Sprintf("schema %d, this program knows %d", got, schemaVersion), Hint: "use the newer gpuai"}
		}
		return nil
	})
}

// Commit applies c; nil means on disk. A cancelled ctx does not take a queued Change back. Errors: ErrGuard, ErrDiskFull, ErrDead, ErrClosed.
func (s *Store) Commit(ctx context.Context, c Change) error {
	if len(c.Guards)+len(c.Puts)+len(c.Deletes) > maxKeys {
		return fmt.Errorf("change of more than %d keys", maxKeys)
	}
	r := request{c: c, done: make(chan error, 1)}
	s.mu.RLock()
	if s.close || s.dead != nil {
		s.mu.RUnlock()
		if s.dead != nil {
			return ErrDead
		}
		return ErrClosed
	}
	select {
	case s.queue <- r:
		s.mu.RUnlock()
	case <-ctx.Done():
		s.mu.RUnlock()
		return ctx.Err()
	}
	return <-r.done
}

// commitLoop takes what queued during the last commit, at most one group, and commits it at once: self-clocked, no timer.
func (s *Store) commitLoop() {
	for first := range s.queue {
		group, size := []request{first}, first.c.size()
		for len(group) < maxGroup && size < maxGroupBytes {
			select {
			case r, ok := <-s.queue:
				if ok {
					group, size = append(group, r), size+r.c.size()
					continue
				}
			default:
			}
			break
		}
		s.commit(group)
	}
}

func (s *Store) commit(group []request) {
	results := make([]error, len(group))
	err := s.db.Update(func(tx *bolt.Tx) error {
		for i, r := range group {
			if results[i] = check(tx, r.c); results[i] != nil {
				continue
			}
			if err := apply(tx, r.c); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, syscall.ENOSPC) {
		err = ErrDiskFull
	} else if err != nil {
		// A failed sync may have lost pages that a second one reports as written: only a restart tells the truth.
		s.mu.Lock()
		s.dead = err
		s.mu.Unlock()
		err = fmt.Errorf("%w: %w", ErrDead, err)
	}
	for i, r := range group {
		if err != nil {
			results[i] = err
		}
		r.done <- results[i]
	}
}

func check(tx *bolt.Tx, c Change) error {
	for _, g := range c.Guards {
		b := tx.Bucket([]byte(g.Bucket))
		if b == nil {
			return fmt.Errorf("no bucket %q", g.Bucket)
		}
		if got := b.Get(g.Key); (got == nil) != (g.Want == nil) || !bytes.Equal(got, g.Want) {
			return fmt.Errorf("%w: %s/%x", ErrGuard, g.Bucket, g.Key)
		}
	}
	for _, p := range c.Puts {
		if tx.Bucket([]byte(p.Bucket)) == nil || len(p.Key) == 0 {
			return fmt.Errorf("no bucket %q or empty key", p.Bucket)
		}
	}
	return nil
}

func apply(tx *bolt.Tx, c Change) error {
	for _, d := range c.Deletes {
		if b := tx.Bucket([]byte(d.Bucket)); b != nil {
			if err := b.Delete(d.Key); err != nil {
				return err
			}
		}
	}
	for _, p := range c.Puts {
		if err := tx.Bucket([]byte(p.Bucket)).Put(p.Key, p.Value); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a copy of a value, nil if absent.
func (s *Store) Get(bucket string, key []byte) (v []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("no bucket %q", bucket)
		}
		v = bytes.Clone(b.Get(key))
		return nil
	})
	return v, err
}

// Scan calls f for copies of all entries below prefix in key order, outside the read transaction, so f may Commit.
func (s *Store) Scan(bucket string, prefix []byte, f func(key, value []byte) error) error {
	var keys, values [][]byte
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return fmt.Errorf("no bucket %q", bucket)
		}
		c := b.Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
		}
		return nil
	})
	for i := 0; err == nil && i < len(keys); i++ {
		err = f(keys[i], values[i])
	}
	return err
}

// Close commits what is queued and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.close {
		s.mu.Unlock()
		return nil
	}
	s.close = true
	close(s.queue)
	s.mu.Unlock()
	s.wg.Wait()
	return s.db.Close()
}
