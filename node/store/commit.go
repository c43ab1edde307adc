package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Limits of group commit: what one transaction takes.
const (
	maxGroup      = 1024
	maxGroupBytes = 1 << 20
)

// Limits of one Change.
const (
	maxKeys        = 4096
	maxChangeBytes = maxGroupBytes
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

// Change is one atomic step, as data: guards first, then deletes, puts and events. At most 4,096 keys, 64 events and 1
// MiB. It must not be changed until Commit has returned.
type Change struct {
	Guards  []Guard
	Puts    []Put
	Deletes []Ref
	Events  []Event
}

func (c Change) size() (n int) {
	for _, g := range c.Guards {
		n += len(g.Key) + len(g.Want)
	}
	for _, p := range c.Puts {
		n += len(p.Key) + len(p.Value)
	}
	for _, d := range c.Deletes {
		n += len(d.Key)
	}
	for _, e := range c.Events {
		n += len(Row(e))
	}
	return n
}

// validate finds what bbolt would refuse, before it could take the rest of a group down with it.
func (c Change) validate() error {
	if n := len(c.Guards) + len(c.Puts) + len(c.Deletes); n > maxKeys {
		return fmt.Errorf("%w: %d keys, limit %d", ErrTooLarge, n, maxKeys)
	}
	if n := c.size(); n > maxChangeBytes {
		return fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, n, maxChangeBytes)
	}
	if n := len(c.Events); n > maxEvents {
		return fmt.Errorf("%w: %d events, limit %d", ErrTooLarge, n, maxEvents)
	}
	one := func(bucket string, key []byte) error {
		if !isBucket(bucket) {
			return fmt.Errorf("no bucket %q", bucket)
		}
		if len(key) == 0 || len(key) > bolt.MaxKeySize {
			return fmt.Errorf("key of %d bytes in %s", len(key), bucket)
		}
		return nil
	}
	for _, g := range c.Guards {
		if err := one(g.Bucket, g.Key); err != nil {
			return err
		}
	}
	for _, p := range c.Puts {
		if err := one(p.Bucket, p.Key); err != nil {
			return err
		}
	}
	for _, d := range c.Deletes {
		if err := one(d.Bucket, d.Key); err != nil {
			return err
		}
	}
	return nil
}

type request struct {
	c    Change
	size int
	done chan error
	then func(error)
}

func (r request) answer(err error) {
	if r.then != nil {
		r.then(err)
		return
	}
	r.done <- err
}

// Commit applies c; nil means on disk. A cancelled ctx does not take a queued Change back. Errors: ErrGuard,
// ErrDiskFull (nothing was changed, smaller or overwriting changes may pass), ErrDead, ErrClosed, ErrTooLarge, an
// unknown bucket.
func (s *Store) Commit(ctx context.Context, c Change) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r := request{c: c, size: c.size(), done: make(chan error, 1)}
	if err := s.enqueue(ctx, r); err != nil {
		return err
	}
	return <-r.done
}

// Queue lets c follow all Changes that were queued before it, and returns at once, so that it may be called under a
// lock which makes that order. then hears what Commit would return, in the order of the queue; it must not block. c
// must not be changed until then. Errors: as Commit's before anything is queued; then is not called.
func (s *Store) Queue(c Change, then func(error)) error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return s.enqueue(context.Background(), request{c: c, size: c.size(), then: then})
}

// enqueue never waits: who commits waits for its answer, so the queue is as long as there are callers.
func (s *Store) enqueue(ctx context.Context, r request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.queue = append(s.queue, r)
	s.queued.Signal()
	return nil
}

// commitLoop takes what queued during the last commit, at most one group, and commits it at once: self-clocked, no
// timer.
func (s *Store) commitLoop() {
	for {
		group := s.group()
		if len(group) == 0 {
			return
		}
		s.commit(group)
	}
}

// group waits for Changes and takes as many as one transaction may have; none once the store is closed.
func (s *Store) group() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.closed {
		s.queued.Wait()
	}
	n, size := 0, 0
	for n < min(len(s.queue), maxGroup) && (n == 0 || size+s.queue[n].size <= maxGroupBytes) {
		size += s.queue[n].size
		n++
	}
	group := s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return group
}

// commit writes one group and answers its callers.
func (s *Store) commit(group []request) {
	results := make([]error, len(group))
	err := s.alive() // a second sync may report pages as written that the first one lost
	if err == nil {
		began := time.Now()
		err = s.write(group, results)
		if took := s.took.Load(); took != nil && err == nil {
			(*took)(time.Since(began))
		}
		switch {
		case err == nil:
		case isDiskFull(err) && len(group) > 1:
			for _, r := range group { // one that needs no room shall not fail for one that does
				s.commit([]request{r})
			}
			return
		case isDiskFull(err):
			err = fmt.Errorf("%w: %w", ErrDiskFull, err)
		default:
			s.die(err)
			err = s.alive()
		}
	}
	tells := false
	for i, r := range group {
		if err != nil {
			results[i] = err
		}
		tells = tells || results[i] == nil && len(r.c.Events) > 0
		r.answer(results[i])
	}
	if tells {
		s.events.Ring()
	}
}

// write commits the Changes whose guards hold; results get the refusals of the others.
func (s *Store) write(group []request, results []error) error {
	return s.update(func(tx *bolt.Tx) error {
		for i, r := range group {
			if results[i] = s.check(tx, r.c); results[i] != nil {
				continue
			}
			if err := apply(tx, r.c); err != nil {
				return err
			}
		}
		return nil
	})
}

// check compares values, not what is on disk: an old row need not be sealed.
func (s *Store) check(tx *bolt.Tx, c Change) error {
	for _, g := range c.Guards {
		raw := tx.Bucket([]byte(g.Bucket)).Get(g.Key)
		got, err := unseal(g.Bucket, g.Key, raw)
		if err != nil {
			return damaged(s.db.Path(), fmt.Sprintf("row %x of %s: %v", g.Key, g.Bucket, err))
		}
		if (raw == nil) != (g.Want == nil) || !bytes.Equal(got, g.Want) {
			return fmt.Errorf("%w: %s/%x", ErrGuard, g.Bucket, g.Key)
		}
	}
	return nil
}

func apply(tx *bolt.Tx, c Change) error {
	for _, d := range c.Deletes {
		if err := tx.Bucket([]byte(d.Bucket)).Delete(d.Key); err != nil {
			return fmt.Errorf("delete %s/%x: %w", d.Bucket, d.Key, err)
		}
	}
	for _, p := range c.Puts {
		if err := tx.Bucket([]byte(p.Bucket)).Put(p.Key, seal(p.Bucket, p.Key, p.Value)); err != nil {
			return fmt.Errorf("put %s/%x: %w", p.Bucket, p.Key, err)
		}
	}
	return putEvents(tx, c.Events)
}

// isDiskFull reports a write that found no room, after which bbolt has rolled back and the file is as before. A sync
// that finds no room is another thing: pages may be lost.
func isDiskFull(err error) bool {
	if err == nil {
		return false
	}
	noRoom := errors.Is(err, syscall.ENOSPC) || errors.Is(err, errQuota)
	var p *fs.PathError
	if errors.As(err, &p) {
		return noRoom && (p.Op == "write" || p.Op == "truncate")
	}
	// bbolt does not wrap the error of the file's growth.
	return strings.HasPrefix(err.Error(), "file resize error:") &&
		(strings.HasSuffix(err.Error(), syscall.ENOSPC.Error()) || strings.HasSuffix(err.Error(), errQuota.Error()))
}
