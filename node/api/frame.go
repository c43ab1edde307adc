package api

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// Streams of a frame. Logs carry an 8-byte time (Unix ms) before the data, and with places=true the 8-byte offset.
const (
	frameStdin uint8 = 0
	frameEOF   uint8 = 3 // no more stdin
	frameExit  uint8 = 4 // u32 exit code; the end
	frameError uint8 = 5 // problem document; the end

	frameResize uint8 = 6 // to the node: columns, rows, u16 each
)

const maxFrame = 1 << 20

type frameWriter struct {
	mu    sync.Mutex
	w     io.Writer
	flush func()
}

func (f *frameWriter) write(stream uint8, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		n := min(len(b), maxFrame/2)
		h := append(make([]byte, 0, 5+n), stream)
		h = append(binary.BigEndian.AppendUint32(h, uint32(n)), b[:n]...)
		if _, err := f.w.Write(h); err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			break
		}
	}
	if f.flush != nil {
		f.flush()
	}
	return nil
}

func readFrame(r io.Reader) (stream uint8, b []byte, err error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("frame of %d bytes, at most %d", n, maxFrame)
	}
	b = make([]byte, n)
	_, err = io.ReadFull(r, b)
	return h[0], b, err
}
