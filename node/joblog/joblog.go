// Package joblog is a customer's own copy of one job's log: records in the order of their places, compressed on disk,
// at most so many bytes.
//
// Invariants: a byte is kept once, at its place; what is missing is a record that names from and to; a block on disk is
// whole or cut away. What was not written yet when the node ends is read from the provider again, which holds it until
// the log's end was taken. Concurrency: one writer, any number of readers. Persistence: segment files and an end file
// in the log's own folder. Next: block.go, read.go.
package joblog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

const (
	flushBytes = 64 << 10
	flushAfter = 10 * time.Second
	segments   = 16 // of a full log; the oldest one goes when it is over its bound
	leastSize  = 4 << 10
	endFile    = "end.json"
	furthest   = 1 << 62 // no offset lies behind it
)

// End is how a log ended: Total is the offset behind its last byte, as far as anybody knew. Whole: nothing is missing
// behind it. Why says in a word why not: see the constants.
type End struct {
	Total uint64 `json:"total"`
	Whole bool   `json:"whole"`
	Why   string `json:"why,omitempty"`
}

// Why a log has no known end.
const (
	WhyRig    = "lost-on-the-rig"  // the job's init was killed, or the engine lost the end
	WhySilent = "not-handed-over"  // the provider stopped sending, or went away
	WhyNone   = "never-handed-out" // no byte was ever given
	WhyDisk   = "not-kept"         // the own disk did not take it
)

// State is how a log stands.
type State struct {
	Total   uint64 `json:"Total"`   // the offset behind the last byte that is known of
	Missing uint64 `json:"Missing"` // bytes below Total that are not here
	Over    bool   `json:"Over"`    // nothing more will come
	Whole   bool   `json:"Whole"`   // over, and nothing is missing behind Total
	Why     string `json:"Why"`     // over and not whole
}

// Complete reports whether every byte of an ended log is here.
func (s State) Complete() bool { return s.Over && s.Whole && s.Missing == 0 }

// Log is one job's log.
type Log struct {
	dir string
	max int64

	mu      sync.Mutex
	segs    []segment
	file    *os.File // the last segment, for writing; nil until needed
	pending []job.LogRecord
	bytes   int // of pending
	next    uint64
	end     *End
	timer   *time.Timer
	failed  error         // of a flush by the timer; told by the next Append
	changed chan struct{} // closed at the next change
}

// segment is one file. Its blocks follow one another without a hole.
type segment struct {
	seq         uint64
	size        int64
	first, next uint64
	gaps        uint64
	last        int64 // newest time in it, ns
}

// Open reads what a folder holds, which need not exist; max bounds its files, in bytes. A torn end is cut away. Errors:
// the disk's.
func Open(dir string, max int64) (*Log, error) {
	l := &Log{dir: dir, max: max, changed: make(chan struct{})}
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for i, name := range names {
		seg, err := scan(name, i == len(names)-1)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if seg.size > 0 {
			l.segs = append(l.segs, seg)
			l.next = seg.next
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, endFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read log: %w", err)
	default:
		l.end = &End{}
		if err := json.Unmarshal(b, l.end); err != nil { // torn: the end is asked for again, or told as unknown
			l.end = nil
		}
	}
	return l, nil
}

func (l *Log) path(seq uint64) string { return filepath.Join(l.dir, fmt.Sprintf("%012d.seg", seq)) }

func (l *Log) holds(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.segs, func(s segment) bool { return s.seq == seq })
}

// Next is the offset of the next byte that is wanted.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// State says how the log stands.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state()
}

func (l *Log) state() State {
	s := State{Total: l.next}
	for i, seg := range l.segs {
		if i == 0 {
			s.Missing = seg.first
		}
		s.Missing += seg.gaps
	}
	for i, r := range l.pending {
		if i == 0 && len(l.segs) == 0 {
			s.Missing = r.Offset
		}
		s.Missing += r.Gap
	}
	if len(l.segs) == 0 && len(l.pending) == 0 {
		s.Missing = l.next
	}
	if l.end != nil {
		s.Over, s.Whole, s.Why = true, l.end.Whole, l.end.Why
		if l.end.Total > l.next {
			s.Missing += l.end.Total - l.next
			s.Total = l.end.Total
		}
	}
	return s
}

// Append adds a record. What is known already is cut away; what lies before it and never came becomes a gap. Errors:
// the disk's; a place that cannot be.
func (l *Log) Append(r job.LogRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.failed; err != nil {
		l.failed = nil
		return err
	}
	if max(r.Offset, r.Gap) > furthest || r.Next() > furthest || r.Stream > 2 {
		return fmt.Errorf("log record of stream %d at %d", r.Stream, r.Offset)
	}
	if r.Offset > l.next {
		l.add(job.LogRecord{Offset: l.next, Time: r.Time, Gap: r.Offset - l.next})
	}
	if r.Raw {
		r.Offset = l.next
	} else {
		if r.Next() <= l.next {
			return nil
		}
		known := l.next - r.Offset
		if r.Offset = l.next; r.Gap > 0 {
			r.Gap -= known
		} else {
			r.Data = r.Data[known:]
		}
	}
	if r.Data = slices.Clone(r.Data); len(r.Data) > 0 || r.Gap > 0 {
		l.add(r)
	}
	if l.bytes >= flushBytes {
		return l.flush()
	}
	if l.timer == nil && len(l.pending) > 0 {
		l.timer = time.AfterFunc(flushAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.timer != nil {
				l.failed = l.flush()
			}
		})
	}
	return nil
}

func (l *Log) add(r job.LogRecord) {
	l.pending = append(l.pending, r)
	l.bytes += len(r.Data) + recordHeader
	l.next = r.Next()
	l.tell()
}

// tell wakes the readers.
func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// flush writes what is pending as one block, and drops the oldest segment if the log is over its bound.
func (l *Log) flush() error {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if len(l.pending) == 0 {
		return nil
	}
	b, seg := encodeBlock(l.pending)
	if n := len(l.segs); n == 0 || l.segs[n-1].size >= max(l.max/segments, leastSize) {
		if err := l.open(); err != nil {
			return err
		}
	} else if l.file == nil {
		f, err := os.OpenFile(l.path(l.segs[n-1].seq), os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("write log: %w", err)
		}
		l.file = f
	}
	last := &l.segs[len(l.segs)-1]
	if _, err := l.file.WriteAt(b, last.size); err != nil {
		_ = l.file.Truncate(last.size) // what stays is cut at the next start
		return fmt.Errorf("write log: %w", err)
	}
	if last.size == 0 {
		last.first = seg.first
	}
	last.size += int64(len(b))
	last.next, last.gaps, last.last = seg.next, last.gaps+seg.gaps, max(last.last, seg.last)
	l.pending, l.bytes = nil, 0
	return l.bound()
}

// open begins a new segment.
func (l *Log) open() error {
	seq := uint64(1)
	if n := len(l.segs); n > 0 {
		seq = l.segs[n-1].seq + 1
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	f, err := os.OpenFile(l.path(seq), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if l.file != nil {
		err = l.file.Close()
	}
	l.file, l.segs = f, append(l.segs, segment{seq: seq})
	return err
}

func (l *Log) bound() error {
	var sum int64
	for _, s := range l.segs {
		sum += s.size
	}
	for sum > l.max && len(l.segs) > 1 {
		if err := os.Remove(l.path(l.segs[0].seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop old log: %w", err)
		}
		sum -= l.segs[0].size
		l.segs = slices.Clone(l.segs[1:]) // readers hold the old list
	}
	return nil
}

// Flush puts what came on disk.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

// Finish notes the end, once everything is safely on disk. A second end is ignored. The log is over also where the disk
// does not take its rest: that is then missing, and the error says why.
func (l *Log) Finish(e End) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end != nil {
		return nil
	}
	err := l.flush()
	if err == nil {
		err = l.write(e)
	}
	if err != nil {
		if len(l.pending) > 0 {
			l.next, l.pending, l.bytes = l.pending[0].Offset, nil, 0
		}
		e.Whole, e.Why = false, WhyDisk
	}
	l.end = &e
	l.tell()
	return err
}

// write puts the end on disk, behind everything else.
func (l *Log) write(e End) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if l.file != nil {
		if err := l.file.Sync(); err != nil {
			return fmt.Errorf("write log: %w", err)
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	part := filepath.Join(l.dir, endFile+".part")
	if err := errors.Join(os.WriteFile(part, b, 0o600),
		os.Rename(part, strings.TrimSuffix(part, ".part"))); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// Close flushes and ends the writing; readers may go on.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.flush()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}
