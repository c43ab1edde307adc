package streams

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeStream reads from in, writes to out, and remembers a reset.
type fakeStream struct {
	in       io.Reader
	out      bytes.Buffer
	writeErr error
	reset    atomic.Bool
	write    time.Time
}

func (s *fakeStream) Read(b []byte) (int, error) { return s.in.Read(b) }
func (s *fakeStream) Write(b []byte) (int, error) {
	if s.writeErr != nil {
		return len(b) / 2, s.writeErr
	}
	return s.out.Write(b)
}
func (s *fakeStream) Close() error                       { return nil }
func (s *fakeStream) CloseRead() error                   { return nil }
func (s *fakeStream) CloseWrite() error                  { return nil }
func (s *fakeStream) Reset() error                       { s.reset.Store(true); return nil }
func (s *fakeStream) SetReadDeadline(time.Time) error    { return nil }
func (s *fakeStream) SetDeadline(t time.Time) error      { s.write = t; return nil }
func (s *fakeStream) SetWriteDeadline(t time.Time) error { s.write = t; return nil }
func frame(ch uint8, data string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{ch}, uint32(len(data)))
	return append(b, data...)
}

func TestFrameConn_GoldenBytesAndRoundTrip(t *testing.T) {
	t.Parallel()
	s := &fakeStream{}
	c := newFrameConn(s, false)
	big := bytes.Repeat([]byte("x"), maxFrame+1)
	if err := errors.Join(c.Write(ChanOut, []byte("hi")), c.Write(ChanErr, nil), c.Write(ChanIn, big)); err != nil {
		t.Fatal(err)
	}
	want := append([]byte{2, 0, 0, 0, 2, 'h', 'i', 3, 0, 0, 0, 0, 1, 0, 1, 0, 0}, big[:maxFrame]...)
	want = append(want, 1, 0, 0, 0, 1, 'x')
	if !bytes.Equal(s.out.Bytes(), want) {
		t.Fatalf("%d bytes on the wire, want %d; begins %x", s.out.Len(), len(want), s.out.Bytes()[:20])
	}
	c = newFrameConn(&fakeStream{in: bytes.NewReader(want)}, false)
	var got []string
	for {
		ch, data, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(frame(ch, string(data[:min(len(data), 4)]))))
	}
	if diff := cmp.Diff([]string{string(frame(2, "hi")), string(frame(3, "")), string(frame(1, "xxxx")),
		string(frame(1, "x"))}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestFrameConn_BrokenFrameResets(t *testing.T) {
	t.Parallel()
	for name, in := range map[string][]byte{
		"too large":   {1, 0, 1, 0, 1},
		"cut header":  {1, 0, 0},
		"cut data":    frame(1, "hello")[:7],
		"cut at data": frame(1, "hello")[:5],
	} {
		s := &fakeStream{in: bytes.NewReader(in)}
		if _, _, err := newFrameConn(s, false).Read(); err == nil || errors.Is(err, io.EOF) || !s.reset.Load() {
			t.Errorf("%s: error %v, reset %v", name, err, s.reset.Load())
		}
	}
	s := &fakeStream{writeErr: os.ErrDeadlineExceeded}
	if err := newFrameConn(s, false).Write(1, []byte("half")); !errors.Is(err, os.ErrDeadlineExceeded) ||
		!s.reset.Load() {
		t.Errorf("half a frame: error %v, reset %v", err, s.reset.Load())
	}
}

func TestFrameConn_DeadlineBoundsWrites(t *testing.T) {
	t.Parallel()
	s := &fakeStream{}
	c := newFrameConn(s, false)
	near := time.Now().Add(time.Second)
	if err := errors.Join(c.SetDeadline(near), c.Write(1, nil)); err != nil || !s.write.Equal(near) {
		t.Fatalf("write deadline %v, want %v; %v", s.write, near, err)
	}
	if err := errors.Join(c.SetDeadline(time.Time{}), c.Write(1, nil)); err != nil ||
		time.Until(s.write) < 5*time.Second {
		t.Fatalf("write deadline %v after the own one was lifted; %v", s.write, err)
	}
}

func TestReader_EndsOnlyAtEmptyFrame(t *testing.T) {
	t.Parallel()
	read := func(frames ...[]byte) (string, error) {
		b, err := io.ReadAll(newFrameConn(&fakeStream{in: bytes.NewReader(bytes.Join(frames, nil))},
			false).Reader(ChanOut))
		return string(b), err
	}
	if got, err := read(frame(ChanOut, "ab"), frame(ChanOut, "c"), frame(ChanOut, "")); err != nil || got != "abc" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := read(frame(ChanOut, "ab")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a cut stream ended well: %v", err)
	}
	if _, err := read(frame(ChanOut, "ab"), frame(ChanErr, "x")); err == nil {
		t.Fatal("a frame of another channel was taken")
	}
}

func FuzzTunnelFrame(f *testing.F) {
	f.Add(frame(1, "hello"))
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := &fakeStream{in: bytes.NewReader(raw)}
		c := newFrameConn(out, false)
		for {
			ch, data, err := c.Read()
			if err != nil {
				break
			}
			if len(data) > maxFrame {
				t.Fatal("larger than the limit")
			}
			if err := c.Write(ch, data); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(raw, out.out.Bytes()) {
			t.Fatal("frames that were read are written differently")
		}
	})
}

// TestTunnel_LastFrames_ArriveAfterCloseRead: a server that has stopped reading, as at an exec's end, does not lose
// what it wrote last.
func TestTunnel_LastFrames_ArriveAfterCloseRead(t *testing.T) {
	t.Parallel()
	c, p, _ := pair(t, &fakeProvider{serve: func(_ context.Context, fc *FrameConn) error {
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				if _, _, err := fc.Read(); err != nil {
					return
				}
			}
		})
		err := errors.Join(fc.Write(ChanOut, bytes.Repeat([]byte("x"), 300_000)), fc.Write(ChanControl, []byte("end")),
			fc.CloseRead())
		wg.Wait()
		return err
	}})
	fc, err := c.Tunnel(context.Background(), p, TunnelOpen{Kind: TunnelExec})
	if err != nil {
		t.Fatal(err)
	}
	defer fc.Close()
	got := 0
	for {
		ch, b, err := fc.Read()
		if err != nil {
			t.Fatalf("after %d bytes: %v", got, err)
		}
		if ch == ChanControl {
			break
		}
		got += len(b)
	}
	if got != 300_000 {
		t.Errorf("%d bytes of 300,000", got)
	}
}
