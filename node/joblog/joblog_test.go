package joblog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpuai/gpuai/runtime/job"
)

func at(sec int64) time.Time { return time.Unix(sec, 0) }

func open(t *testing.T, dir string, max int64) *Log {
	t.Helper()
	l, err := Open(dir, max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *Log, r job.LogRecord) {
	t.Helper()
	if err := l.Append(r); err != nil {
		t.Fatal(err)
	}
}

// text is a log as one string; gaps are marked, and every record must begin where the one before ended.
func text(t *testing.T, l *Log, from uint64, since time.Time) string {
	t.Helper()
	var b strings.Builder
	next := from
	_, err := l.Read(t.Context(), from, since, false, func(r job.LogRecord) error {
		if r.Offset != next && since.IsZero() {
			t.Errorf("a record at %d, want %d", r.Offset, next)
		}
		next = r.Next()
		if r.Gap > 0 {
			fmt.Fprintf(&b, "[%d]", r.Gap)
		}
		b.Write(r.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestLog_Places_NotTimes: overlaps are cut, holes are named, equal and earlier times lose nothing; before and after a
// restart.
func TestLog_Places_NotTimes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, 1<<20)
	add(t, l, job.LogRecord{Offset: 0, Time: at(9), Stream: 1, Data: []byte("abc")})
	add(t, l, job.LogRecord{Offset: 0, Time: at(9), Stream: 1, Data: []byte("abc")})
	add(t, l, job.LogRecord{Offset: 2, Time: at(3), Stream: 2, Data: []byte("cde")})
	add(t, l, job.LogRecord{Offset: 5, Time: at(3), Stream: 1, Data: []byte("raw"), Raw: true})
	add(t, l, job.LogRecord{Offset: 10, Time: at(4), Stream: 1, Data: []byte("k")})
	add(t, l, job.LogRecord{Offset: 11, Time: at(4), Gap: 4})
	add(t, l, job.LogRecord{Offset: 12, Time: at(12), Stream: 1, Data: []byte("xxxpq")})
	want := map[uint64]string{0: "abcderaw[5]k[4]pq", 4: "eraw[5]k[4]pq", 7: "[3]k[4]pq", 13: "[2]pq", 17: ""}
	for _, when := range []string{"in memory", "on disk", "after a restart"} {
		for from, w := range want {
			if got := text(t, l, from, time.Time{}); got != w {
				t.Errorf("%s, from %d: %q, want %q", when, from, got, w)
			}
		}
		if got := text(t, l, 0, at(10)); got != "pq" {
			t.Errorf("%s, since: %q", when, got)
		}
		if s := l.State(); s != (State{Total: 17, Missing: 9}) || l.Next() != 17 {
			t.Errorf("%s: %+v, next %d", when, s, l.Next())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if when == "on disk" {
			l = open(t, dir, 1<<20)
		}
	}
	if err := l.Finish(End{Total: 20, Why: WhySilent}); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, 1<<20)
	if got := text(t, l, 15, time.Time{}); got != "pq[3]" {
		t.Errorf("what was never handed over: %q", got)
	}
	if s := l.State(); s != (State{Total: 20, Missing: 12, Over: true, Why: WhySilent}) || s.Complete() {
		t.Errorf("%+v", s)
	}
}

// TestLog_Bound_DropsTheOldest: the files stay below the bound, the newest bytes are whole, and what went is named.
func TestLog_Bound_DropsTheOldest(t *testing.T) {
	dir, max := t.TempDir(), int64(1<<20)
	l := open(t, dir, max)
	src := rand.NewChaCha8([32]byte{})
	var all bytes.Buffer
	for all.Len() < 5<<20 {
		b := make([]byte, 9000)
		_, _ = src.Read(b)
		add(t, l, job.LogRecord{Offset: uint64(all.Len()), Time: at(1), Stream: 1, Data: b})
		all.Write(b)
	}
	if err := l.Finish(End{Total: uint64(all.Len()), Whole: true}); err != nil {
		t.Fatal(err)
	}
	var disk int64
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			disk += info.Size()
		}
	}
	if disk > max+1000 || disk < max*3/4 {
		t.Errorf("%d bytes on disk, at most %d", disk, max)
	}
	for _, l := range []*Log{l, open(t, dir, max)} {
		var got bytes.Buffer
		gap := uint64(0)
		s, err := l.Read(t.Context(), 0, time.Time{}, true,
			func(r job.LogRecord) error { gap += r.Gap; got.Write(r.Data); return nil })
		if err != nil || gap == 0 || s.Missing != gap || !s.Over || s.Complete() ||
			!bytes.Equal(got.Bytes(), all.Bytes()[gap:]) {
			t.Errorf("%+v, gap %d, %d bytes, %v", s, gap, got.Len(), err)
		}
	}
}

// TestLog_Torn_IsCutAndReadAgain cuts the last file at every length: what is left is a true beginning, and going on
// from there makes it whole.
func TestLog_Torn_IsCutAndReadAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	want := ""
	for i := range 5 {
		s := strings.Repeat(fmt.Sprint(i), 20+i)
		add(t, l, job.LogRecord{Offset: uint64(len(want)), Time: at(1), Stream: 1, Data: []byte(s)})
		want += s
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	name, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	whole, err := os.ReadFile(name[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) + 1 {
		sub := t.TempDir()
		b := whole[:n]
		if n%3 == 0 && n > 0 { // not only cut, but also damaged
			b = bytes.Clone(b)
			b[n-1] ^= 0xff
		}
		if err := os.WriteFile(filepath.Join(sub, filepath.Base(name[0])), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, sub, 1<<20)
		next := l.Next()
		if got := text(t, l, 0, time.Time{}); got != want[:next] {
			t.Fatalf("cut at %d: %q", n, got)
		}
		add(t, l, job.LogRecord{Offset: next, Time: at(2), Stream: 1, Data: []byte(want[next:])})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := text(t, open(t, sub, 1<<20), 0, time.Time{}); got != want {
			t.Fatalf("cut at %d, then mended: %q", n, got)
		}
	}
}

// TestLog_Follow_SeesEachRecordOnce while blocks go from memory to disk, segments change and old ones go.
func TestLog_Follow_SeesEachRecordOnce(t *testing.T) {
	for name, max := range map[string]int64{"roomy": 1 << 30, "tight": 100_000} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir(), max)
			const n = 3000
			var wg sync.WaitGroup
			wg.Go(func() {
				src := rand.New(rand.NewPCG(1, 2))
				for i := range n {
					b := fmt.Appendf(nil, "%d %x\n", i, src.Uint64())
					if err := l.Append(job.LogRecord{Offset: l.Next(), Time: at(int64(i)), Stream: 1,
						Data: b}); err != nil {
						t.Error(err)
					}
					if i%7 == 0 {
						if err := l.Flush(); err != nil {
							t.Error(err)
						}
					}
				}
				if err := l.Finish(End{Total: l.Next(), Whole: true}); err != nil {
					t.Error(err)
				}
			})
			next, gaps := uint64(0), uint64(0)
			s, err := l.Read(t.Context(), 0, time.Time{}, true, func(r job.LogRecord) error {
				if r.Offset != next {
					t.Fatalf("a record at %d, want %d", r.Offset, next)
				}
				next = r.Next()
				gaps += r.Gap
				return nil
			})
			wg.Wait()
			if err != nil || !s.Whole || next != s.Total || name == "roomy" && gaps > 0 {
				t.Errorf("%+v at %d, %d missing, %v", s, next, gaps, err)
			}
		})
	}
}

// TestLog_Hostile_Records: what a provider may send cannot break the log.
func TestLog_Hostile_Records(t *testing.T) {
	l := open(t, t.TempDir(), 1<<20)
	for _, r := range []job.LogRecord{{Offset: 1<<62 + 1, Stream: 1, Data: []byte("x")},
		{Offset: 1 << 62, Gap: 1 << 62}, {Stream: 9, Data: []byte("x")},
		{Offset: 1 << 62, Stream: 1, Data: []byte("x")}} {
		if err := l.Append(r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
	for _, r := range []job.LogRecord{{Stream: 1}, {Offset: 3, Raw: true}, {Stream: 1, Data: []byte("ok")}} {
		add(t, l, r)
	}
	if got := text(t, l, 0, time.Time{}); got != "[3]" {
		t.Errorf("%q", got)
	}
}

func TestLog_Empty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	l := open(t, dir, 1<<20)
	if d := cmp.Diff(State{}, l.State()); d != "" || text(t, l, 0, time.Time{}) != "" {
		t.Error(d)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made for nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Read(ctx, 0, time.Time{}, true, nil); err == nil {
		t.Error("a follower of an open log ended")
	}
}
