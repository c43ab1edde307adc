package guard

import (
	"bytes"
	"math"
	"testing"
	"time"
)

func TestLog_RoundTrip(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, f := range []LogFrame{
		{0, 1, time.Unix(1, 2), []byte("hello\n")},
		{math.MaxInt64, 2, time.Unix(1_700_000_000, 999_999_999), all},
		{7, 1, time.Unix(0, 0), bytes.Repeat([]byte{0xff, 0}, LogData/2)},
		{12345, StreamEnd, time.Unix(5, 0), nil},
	} {
		line := AppendLog(nil, f)
		if n := bytes.IndexByte(line, '\n'); n != len(line)-1 || len(line) > 15<<10 {
			t.Errorf("offset %d: %d bytes, line feed at %d", f.Offset, len(line), n)
		}
		g, ok, torn := ParseLog(line)
		if !ok || torn || g.Offset != f.Offset || g.Stream != f.Stream || !g.Time.Equal(f.Time) ||
			!bytes.Equal(g.Data, f.Data) {
			t.Errorf("got %v %v %+v", ok, torn, g)
		}
	}
}

// TestLog_Damaged_IsNeverBelieved: either part of a torn frame, two halves joined, and any flipped bit are known as
// damage; other lines are output.
func TestLog_Damaged_IsNeverBelieved(t *testing.T) {
	line := bytes.TrimSuffix(AppendLog(nil, LogFrame{42, 1, time.Unix(9, 9), []byte("0123456789abcdef")}), []byte("\n"))
	other := AppendLog(nil, LogFrame{58, 1, time.Unix(9, 9), []byte("fedcba9876543210")})
	for i := len(frameHead); i < len(line); i++ {
		if _, ok, torn := ParseLog(line[:i]); ok || !torn {
			t.Errorf("head of %d bytes: %v %v", i, ok, torn)
		}
		if _, ok, torn := ParseLog(line[len(line)-i:]); ok || !torn {
			t.Errorf("tail of %d bytes: %v %v", i, ok, torn)
		}
		if _, ok, _ := ParseLog(append(bytes.Clone(line[:i]), other[i:]...)); ok && i > len(frameHead) &&
			i < len(line)-len(frameTail) {
			t.Errorf("joined at %d was believed", i)
		}
	}
	for i := range line {
		bad := bytes.Clone(line)
		bad[i] ^= 1
		if f, ok, _ := ParseLog(bad); ok {
			t.Errorf("flipped bit at %d was believed: %+v", i, f)
		}
	}
	for _, s := range []string{"", "\n", "hello", "gpuai1", "<gpuai2 0 1 2 aGk= 0 gpuai2>"} {
		if _, ok, torn := ParseLog([]byte(s)); ok || torn {
			t.Errorf("%q: %v %v", s, ok, torn)
		}
	}
}

func FuzzLog(f *testing.F) {
	f.Add(AppendLog(nil, LogFrame{42, 1, time.Unix(9, 9), []byte("x")}))
	f.Add([]byte("<gpuai1  gpuai1>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, ok, _ := ParseLog(b); ok {
			if h, ok, _ := ParseLog(AppendLog(nil, g)); !ok || h.Offset != g.Offset || !bytes.Equal(h.Data, g.Data) {
				t.Errorf("%q does not come back", b)
			}
		}
	})
}
