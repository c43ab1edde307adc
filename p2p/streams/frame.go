package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Frame limits of a tunnel, and how long a write may wait for a slow reader.
const (
	maxFrame     = 64 << 10
	writeTimeout = 10 * time.Second
	frameHeader  = 5
)

// frames are buffers of frames that were written: a frame leaves in one write, which costs one packet.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// rawStream is what framing needs of a libp2p stream; tests give it a pipe.
type rawStream interface {
	io.ReadWriteCloser
	CloseRead() error
	CloseWrite() error
	Reset() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	SetDeadline(t time.Time) error
}

// FrameConn frames a tunnel: {channel u8, length u32 BE, data ≤ 64 KiB}. One reader and many writers at a time. Any
// error but io.EOF leaves the stream reset: a frame that was cut in the middle cannot be followed by another.
//
// It may go over to another stream, see move: the old one ends behind a whole frame, and the next frame is the first of
// the new one.
type FrameConn struct {
	wm       sync.Mutex
	out      rawStream    // under wm
	deadline atomic.Int64 // unix ns, 0: none
	relayed  atomic.Bool
	id       []byte // by which the peer knows it, nil: it cannot go over
	closed   func() // at its end, once; nil: nobody asks

	mu     sync.Mutex
	in     rawStream     // the reader's
	next   rawStream     // that the reader takes at the end of in
	moving chan struct{} // closed once next is set, or will not be; nil: it stays
	moved  chan struct{} // closed when it goes over
	shutIn bool          // by CloseRead
	shut   bool          // by CloseWrite
	end    sync.Once
}

// newFrameConn frames a stream.
func newFrameConn(s rawStream, relayed bool) *FrameConn {
	c := &FrameConn{in: s, out: s, moved: make(chan struct{})}
	c.relayed.Store(relayed)
	return c
}

// Relayed reports whether the tunnel runs over a relay, which carries little.
func (c *FrameConn) Relayed() bool { return c.relayed.Load() }

// Read returns the next frame. Errors: io.EOF when the peer closed its side; too large a frame resets the stream.
func (c *FrameConn) Read() (ch uint8, data []byte, err error) { return c.ReadInto(nil) }

// ReadInto is Read into a buffer of the caller's, where the frame fits there.
func (c *FrameConn) ReadInto(buf []byte) (ch uint8, data []byte, err error) {
	c.mu.Lock()
	in := c.in
	c.mu.Unlock()
	var h [frameHeader]byte
	for {
		if _, err = io.ReadFull(in, h[:]); err == nil {
			break
		}
		if errors.Is(err, io.EOF) {
			if in = c.follow(); in != nil {
				continue
			}
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			c.Abort() // the peer broke off inside a frame
		}
		// Else no reset: the error may come of our own CloseRead, and what we have written is still on its way to the
		// peer.
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		c.Abort() // the peer broke the protocol
		return 0, nil, fmt.Errorf("%w: frame of %d bytes", errTooLarge, n)
	}
	data = slices.Grow(buf[:0], int(n))[:n]
	if _, err := io.ReadFull(in, data); err != nil {
		c.Abort()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	return h[0], data, nil
}

// Write sends data on a channel, cut into frames. An empty write sends one empty frame. A reader that takes nothing for
// 10 s ends the tunnel.
func (c *FrameConn) Write(ch uint8, data []byte) error {
	for {
		n := min(len(data), maxFrame)
		c.room()
		if err := c.writeFrame(ch, data[:n]); err != nil {
			return err
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
}

func (c *FrameConn) writeFrame(ch uint8, data []byte) error {
	c.wm.Lock()
	defer c.wm.Unlock()
	frame := frames.Get().(*[]byte)
	defer frames.Put(frame)
	*frame = binary.BigEndian.AppendUint32(append((*frame)[:0], ch), uint32(len(data)))
	*frame = append(*frame, data...)
	if err := c.out.SetWriteDeadline(c.writeDeadline()); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	if _, err := c.out.Write(*frame); err != nil {
		c.Abort() // half a frame may be out
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

func (c *FrameConn) writeDeadline() time.Time {
	d := time.Now().Add(writeTimeout)
	if own := c.deadline.Load(); own != 0 && own < d.UnixNano() {
		return time.Unix(0, own)
	}
	return d
}

// SetDeadline ends reads and writes at t, zero: never (a write still ends after 10 s without progress).
func (c *FrameConn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.deadline.Store(0)
	} else {
		c.deadline.Store(t.UnixNano())
	}
	var errs []error
	for _, s := range c.streams() {
		errs = append(errs, s.SetReadDeadline(t))
		if !t.IsZero() {
			errs = append(errs, s.SetWriteDeadline(c.writeDeadline()))
		}
	}
	return errors.Join(errs...)
}

// CloseWrite ends the own direction; CloseRead gives up on the peer's; Close ends both.
func (c *FrameConn) CloseWrite() error {
	c.mu.Lock()
	c.shut = true
	c.mu.Unlock()
	return c.last().CloseWrite()
}

// CloseRead makes a blocked Read return.
func (c *FrameConn) CloseRead() error {
	c.mu.Lock()
	c.shutIn = true
	c.mu.Unlock()
	var errs []error
	for _, s := range c.streams() {
		errs = append(errs, s.CloseRead())
	}
	return errors.Join(errs...)
}

// Close ends both directions at once; use CloseWrite first where the last frames matter.
func (c *FrameConn) Close() error {
	defer c.over()
	var errs []error
	for _, s := range c.streams() {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Abort resets the stream: the peer sees an error.
func (c *FrameConn) Abort() {
	defer c.over()
	for _, s := range c.streams() {
		_ = s.Reset()
	}
}

func (c *FrameConn) over() {
	c.end.Do(func() {
		if c.closed != nil {
			c.closed()
		}
	})
}

// Writer is an io.Writer to one channel.
func (c *FrameConn) Writer(ch uint8) io.Writer { return chanWriter{c, ch} }

// Reader is an io.Reader of one channel; it ends at an empty frame of it and fails at a bare EOF and at a frame of
// another channel.
func (c *FrameConn) Reader(ch uint8) io.Reader { return &chanReader{c: c, ch: ch} }

type chanWriter struct {
	c  *FrameConn
	ch uint8
}

func (w chanWriter) Write(b []byte) (int, error) {
	if len(b) == 0 { // an empty frame would end the peer's Reader
		return 0, nil
	}
	if err := w.c.Write(w.ch, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

type chanReader struct {
	c    *FrameConn
	ch   uint8
	buf  []byte
	rest []byte // of buf
	end  bool
}

func (r *chanReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.end {
			return 0, io.EOF
		}
		ch, data, err := r.c.ReadInto(r.buf)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // an end is an empty frame; a bare close is a cut
		}
		if err != nil {
			return 0, err
		}
		if ch != r.ch {
			return 0, fmt.Errorf("frame on channel %d, want %d", ch, r.ch)
		}
		r.buf, r.rest, r.end = data, data, len(data) == 0
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
