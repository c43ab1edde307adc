package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// rawStream is what framing needs of a libp2p stream; tests give it a pipe.
type rawStream interface {
	io.ReadWriteCloser
	CloseRead() error
	CloseWrite() error
	Reset() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// FrameConn frames a tunnel: {channel u8, length u32 BE, data ≤ 64 KiB}. One reader and many writers at a time. Any
// error but io.EOF leaves the stream reset: a frame that was cut in the middle cannot be followed by another.
type FrameConn struct {
	s        rawStream
	wm       sync.Mutex
	deadline atomic.Int64 // unix ns, 0: none
	relayed  bool
}

// Relayed reports whether the tunnel runs over a relay, which carries little.
func (c *FrameConn) Relayed() bool { return c.relayed }

// Read returns the next frame. Errors: io.EOF when the peer closed its side; too large a frame resets the stream.
func (c *FrameConn) Read() (ch uint8, data []byte, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(c.s, h[:]); err != nil {
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
	data = make([]byte, n)
	if _, err := io.ReadFull(c.s, data); err != nil {
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
	c.wm.Lock()
	defer c.wm.Unlock()
	for {
		n := min(len(data), maxFrame)
		buf := make([]byte, frameHeader, frameHeader+n)
		buf[0] = ch
		binary.BigEndian.PutUint32(buf[1:], uint32(n))
		if err := c.s.SetWriteDeadline(c.writeDeadline()); err != nil {
			return fmt.Errorf("write frame: %w", err)
		}
		if _, err := c.s.Write(append(buf, data[:n]...)); err != nil {
			c.Abort() // half a frame may be out
			return fmt.Errorf("write frame: %w", err)
		}
		if data = data[n:]; len(data) == 0 {
			return nil
		}
	}
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
		return c.s.SetReadDeadline(t)
	}
	c.deadline.Store(t.UnixNano())
	return errors.Join(c.s.SetReadDeadline(t), c.s.SetWriteDeadline(c.writeDeadline()))
}

// CloseWrite ends the own direction; CloseRead gives up on the peer's; Close ends both.
func (c *FrameConn) CloseWrite() error { return c.s.CloseWrite() }

// CloseRead makes a blocked Read return.
func (c *FrameConn) CloseRead() error { return c.s.CloseRead() }

// Close ends both directions at once; use CloseWrite first where the last frames matter.
func (c *FrameConn) Close() error { return c.s.Close() }

// Abort resets the stream: the peer sees an error.
func (c *FrameConn) Abort() { _ = c.s.Reset() }

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
	rest []byte
	end  bool
}

func (r *chanReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.end {
			return 0, io.EOF
		}
		ch, data, err := r.c.Read()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // an end is an empty frame; a bare close is a cut
		}
		if err != nil {
			return 0, err
		}
		if ch != r.ch {
			return 0, fmt.Errorf("frame on channel %d, want %d", ch, r.ch)
		}
		r.rest, r.end = data, len(data) == 0
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
