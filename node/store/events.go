package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/gpuai/gpuai/market"
)

// How long events are kept: the newest KeepEvents of the last KeepFor; what concerns money or security KeepMoney,
// however many.
const (
	KeepEvents = 100_000
	KeepFor    = 7 * 24 * time.Hour
	KeepMoney  = 366 * 24 * time.Hour
)

// maxEvents bounds the events of one Change, pruneStep those that one commit deletes.
const (
	maxEvents = 64
	pruneStep = 2_000
)

const keyFloor = "events_floor" // in meta: the newest sequence that was pruned, u64

// Event is one row of what happened: a thing (Topic, ID) came to State because of Cause. Money says that it is kept
// long. Seq is given at the commit, in the order of commits, without a gap.
type Event struct {
	Seq     uint64                   `json:"-"`
	At      time.Time                `json:"at"`
	Topic   string                   `json:"topic"`
	ID      string                   `json:"id"`
	Cause   string                   `json:"cause"`
	State   string                   `json:"state,omitempty"`
	Role    string                   `json:"role,omitempty"`
	Amounts map[string]market.Amount `json:"amounts,omitempty"`
	Money   bool                     `json:"money,omitempty"`
}

// putEvents numbers and writes the events of a Change. size is counted before: see Change.size.
func putEvents(tx *bolt.Tx, events []Event) error {
	b := tx.Bucket([]byte(BucketEvents))
	for _, e := range events {
		seq, err := b.NextSequence()
		if err == nil {
			key := binary.BigEndian.AppendUint64(nil, seq)
			err = b.Put(key, seal(BucketEvents, key, Row(e)))
		}
		if err != nil {
			return fmt.Errorf("put event: %w", err)
		}
	}
	return nil
}

// EventsChanged is closed at the next event.
func (s *Store) EventsChanged() <-chan struct{} { return s.events.Next() }

// Events returns at most limit events after a sequence, oldest first; floor is the newest sequence that was pruned,
// last the newest of all.
// Errors: ErrDead, ErrClosed, a row of a newer version.
func (s *Store) Events(after uint64, limit int) (rows []Event, floor, last uint64, err error) {
	err = s.view(BucketEvents, func(b *bolt.Bucket) error {
		last = b.Sequence()
		if v := b.Tx().Bucket([]byte(BucketMeta)).Get([]byte(keyFloor)); len(v) == 8 {
			floor = binary.BigEndian.Uint64(v)
		}
		c := b.Cursor()
		for k, v := c.Seek(binary.BigEndian.AppendUint64(nil, after+1)); k != nil && len(rows) < limit; k,
			v = c.Next() {
			e := Event{Seq: binary.BigEndian.Uint64(k)}
			v, err := s.value(BucketEvents, k, v)
			if err == nil {
				err = Unrow(v, &e)
			}
			if err != nil {
				return fmt.Errorf("event %d: %w", e.Seq, err)
			}
			rows = append(rows, e)
		}
		return nil
	})
	return rows, floor, last, err
}

// PruneEvents deletes what is no longer kept; most is KeepEvents but in tests. Errors: as Commit.
func (s *Store) PruneEvents(ctx context.Context, now time.Time, most int) error {
	for {
		c, err := s.oldEvents(now, most)
		if err != nil || len(c.Deletes) == 0 {
			return err
		}
		if err := s.Commit(ctx, c); err != nil {
			return fmt.Errorf("prune events: %w", err)
		}
	}
}

// oldEvents is the Change that deletes the oldest rows that may go.
func (s *Store) oldEvents(now time.Time, most int) (c Change, err error) {
	err = s.view(BucketEvents, func(b *bolt.Bucket) error {
		left := 0
		cur := b.Cursor()
		for k, _ := cur.First(); k != nil; k, _ = cur.Next() {
			left++
		}
		var floor []byte
		for k, v := cur.First(); k != nil && len(c.Deletes) < pruneStep; k, v = cur.Next() {
			var e Event
			v, err := s.value(BucketEvents, k, v)
			if err == nil {
				err = Unrow(v, &e)
			}
			if err != nil {
				return fmt.Errorf("event %x: %w", k, err)
			}
			age, keep := now.Sub(e.At), KeepFor
			if e.Money {
				keep = KeepMoney
			}
			if age > keep || left > most && !e.Money {
				floor = append([]byte(nil), k...)
				c.Deletes = append(c.Deletes, Ref{BucketEvents, floor})
				left--
			} else if age <= KeepFor && left <= most {
				break // all that follow are younger
			}
		}
		if floor != nil {
			c.Puts = []Put{{BucketMeta, []byte(keyFloor), floor}}
		}
		return nil
	})
	return c, err
}
