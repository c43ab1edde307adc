package joblog

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

// reader goes through a log once. It stands before a block of a segment, of which it gave so many records already while
// they were pending.
type reader struct {
	l     *Log
	f     func(job.LogRecord) error
	since int64  // ns: the first record that is not older is the first one to give
	next  uint64 // the next byte to give; what lies between it and a record is a gap
	began bool   // since is reached: from here on everything counts, whatever its time

	seq  uint64
	pos  int64
	skip int
}

// Read gives the records from an offset on, in order, beginning with the first one that is not before since; the zero
// time is no bound. What is not here is a record with a gap. follow waits for more until the log is over. It returns
// how the log stood at the end. Errors: f's, ctx's, the disk's.
func (l *Log) Read(ctx context.Context, from uint64, since time.Time, follow bool, f func(job.LogRecord) error) (State,
	error) {
	r := &reader{l: l, f: f, next: from, began: since.IsZero()}
	if !since.IsZero() {
		r.since = since.UnixNano()
	}
	for {
		l.mu.Lock()
		segs, pending, state, changed := l.segs, slices.Clone(l.pending), l.state(), l.changed
		segs = slices.Clone(segs) // the last one grows
		l.mu.Unlock()
		err := r.stored(ctx, segs)
		if errors.Is(err, fs.ErrNotExist) { // dropped meanwhile
			continue
		}
		if err == nil {
			err = r.waiting(pending)
		}
		if err == nil && state.Over && r.began && r.next < state.Total {
			err = r.give(job.LogRecord{Offset: r.next, Gap: state.Total - r.next, Time: time.Now()})
		}
		if err != nil || !follow || state.Over {
			return state, err
		}
		select {
		case <-ctx.Done():
			return state, ctx.Err()
		case <-changed:
		}
	}
}

// stored gives what is in files.
func (r *reader) stored(ctx context.Context, segs []segment) error {
	for _, s := range segs {
		if s.seq < r.seq || s.seq == r.seq && r.pos >= s.size {
			continue
		}
		if s.seq > r.seq {
			r.seq, r.pos = s.seq, 0
		}
		if r.skip == 0 && (s.next < r.next || !r.began && s.last < r.since) {
			r.pos = s.size
			continue
		}
		if err := r.segment(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) segment(ctx context.Context, s segment) error {
	f, err := os.Open(r.l.path(s.seq))
	if errors.Is(err, fs.ErrNotExist) && r.l.holds(s.seq) { // somebody removed it: the next segment shows it as a gap
		r.pos, r.skip = s.size, 0
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for r.pos < s.size {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := readHeader(f, r.pos)
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			r.pos, r.skip = s.size, 0 // damaged on disk: the next segment shows it as a gap
			return nil
		}
		if r.skip > 0 || h.next >= r.next && (r.began || h.last >= r.since) {
			records, err := readBody(f, r.pos, h)
			if err == nil {
				err = r.records(records, r.skip)
			} else if errors.Is(err, errTorn) {
				err = nil
			}
			if err != nil {
				return err
			}
		}
		r.pos, r.skip = r.pos+h.size, 0
	}
	return nil
}

// waiting gives what is in memory: the next block, once it is written.
func (r *reader) waiting(pending []job.LogRecord) error {
	known := r.skip
	r.skip = len(pending)
	return r.records(pending, known)
}

// records gives what is new; the first known ones were given while they were pending, which tells for those that move
// no offset.
func (r *reader) records(list []job.LogRecord, known int) error {
	for i, rec := range list {
		if !r.began && rec.Time.UnixNano() < r.since || rec.Next() < r.next || rec.Raw && i < known ||
			rec.Next() == r.next && !rec.Raw {
			continue
		}
		if !r.began {
			r.next, r.began = max(rec.Offset, r.next), true
		}
		if rec.Offset > r.next {
			if err := r.give(job.LogRecord{Offset: r.next, Gap: rec.Offset - r.next, Time: rec.Time}); err != nil {
				return err
			}
		}
		if known := r.next - rec.Offset; known > 0 && !rec.Raw {
			if rec.Offset = r.next; rec.Gap > 0 {
				rec.Gap -= known
			} else {
				rec.Data = rec.Data[known:]
			}
		}
		if err := r.give(rec); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) give(rec job.LogRecord) error {
	if err := r.f(rec); err != nil {
		return err
	}
	r.next = rec.Next()
	return nil
}
