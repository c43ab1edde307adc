package joblog

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

// A block is a header and the flate-compressed records. The header: magic (8), length of the compressed part and of the
// records (4 each), first and next offset, bytes in gaps, newest time in ns (8 each), CRC-32 of all this and of the
// compressed part (4). Big-endian.
const (
	blockMagic   = "gpuailb1"
	blockHeader  = 8 + 4 + 4 + 4*8 + 4
	maxBlock     = 4 << 20
	recordHeader = 1 + 8 + 8 + 4 // stream and flags, time, offset, length of the data
	flagRaw      = 0x80
	flagGap      = 0x40
)

var errTorn = errors.New("log block is torn")

var writers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is valid
	return w
}}

// encodeBlock returns a block and what it adds to its segment.
func encodeBlock(records []job.LogRecord) ([]byte, segment) {
	var raw []byte
	s := segment{first: records[0].Offset}
	for _, r := range records {
		kind, n := r.Stream, uint32(len(r.Data))
		if r.Raw {
			kind |= flagRaw
		}
		if r.Gap > 0 {
			kind, n = kind|flagGap, 8
		}
		raw = append(raw, kind)
		raw = binary.BigEndian.AppendUint64(raw, uint64(r.Time.UnixNano()))
		raw = binary.BigEndian.AppendUint64(raw, r.Offset)
		raw = binary.BigEndian.AppendUint32(raw, n)
		if r.Gap > 0 {
			raw = binary.BigEndian.AppendUint64(raw, r.Gap)
		}
		raw = append(raw, r.Data...)
		s.next, s.gaps, s.last = r.Next(), s.gaps+r.Gap, max(s.last, r.Time.UnixNano())
	}
	var z bytes.Buffer
	w := writers.Get().(*flate.Writer)
	w.Reset(&z)
	_, _ = w.Write(raw) // a buffer takes everything
	_ = w.Close()
	writers.Put(w)
	b := append(make([]byte, 0, blockHeader+z.Len()), blockMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(z.Len()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(raw)))
	for _, v := range []uint64{s.first, s.next, s.gaps, uint64(s.last)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Update(crc32.ChecksumIEEE(b), crc32.IEEETable, z.Bytes()))
	return append(b, z.Bytes()...), s
}

// header is a block's, as read.
type header struct {
	segment        // size is the whole block's
	packed, length int64
	sum            uint32
	raw            [blockHeader]byte
}

// readHeader reads the header at pos. io.EOF: the file ends there.
func readHeader(f io.ReaderAt, pos int64) (h header, err error) {
	n, err := f.ReadAt(h.raw[:], pos)
	if n == 0 && errors.Is(err, io.EOF) {
		return h, io.EOF
	}
	if n < blockHeader || string(h.raw[:8]) != blockMagic {
		return h, errTorn
	}
	b := h.raw[8:]
	h.packed, h.length = int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
	h.first, h.next, h.gaps = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]),
		binary.BigEndian.Uint64(b[24:])
	h.last, h.sum = int64(binary.BigEndian.Uint64(b[32:])), binary.BigEndian.Uint32(b[40:])
	if h.packed > maxBlock || h.length > maxBlock {
		return h, errTorn
	}
	h.size = blockHeader + h.packed
	return h, nil
}

// readBody reads and checks what belongs to a header.
func readBody(f io.ReaderAt, pos int64, h header) ([]job.LogRecord, error) {
	z := make([]byte, h.packed)
	if _, err := f.ReadAt(z, pos+blockHeader); err != nil {
		return nil, errTorn
	}
	if crc32.Update(crc32.ChecksumIEEE(h.raw[:blockHeader-4]), crc32.IEEETable, z) != h.sum {
		return nil, errTorn
	}
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), h.length))
	if err != nil || int64(len(raw)) != h.length {
		return nil, errTorn
	}
	var out []job.LogRecord
	for len(raw) > 0 {
		if len(raw) < recordHeader {
			return nil, errTorn
		}
		n := int(binary.BigEndian.Uint32(raw[17:]))
		if len(raw)-recordHeader < n {
			return nil, errTorn
		}
		r := job.LogRecord{
			Stream: raw[0] &^ (flagRaw | flagGap), Raw: raw[0]&flagRaw != 0,
			Time:   time.Unix(0, int64(binary.BigEndian.Uint64(raw[1:]))),
			Offset: binary.BigEndian.Uint64(raw[9:]), Data: raw[recordHeader : recordHeader+n],
		}
		if raw[0]&flagGap != 0 {
			if n != 8 {
				return nil, errTorn
			}
			r.Gap, r.Data = binary.BigEndian.Uint64(r.Data), nil
		}
		out, raw = append(out, r), raw[recordHeader+n:]
	}
	return out, nil
}

// scan reads a segment's headers. Of the last segment each block is checked, and what is torn is cut away; a damaged
// block of another one hides what is behind it, which then shows as a gap.
func scan(name string, last bool) (s segment, err error) {
	if _, err := fmt.Sscanf(filepath.Base(name), "%d.seg", &s.seq); err != nil {
		return segment{}, nil // no file of ours
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0o600)
	if err != nil {
		return s, err
	}
	defer f.Close()
	for {
		h, err := readHeader(f, s.size)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err == nil && last {
			_, err = readBody(f, s.size, h)
		}
		if err != nil {
			if last {
				return s, f.Truncate(s.size)
			}
			return s, nil
		}
		if s.size == 0 {
			s.first = h.first
		}
		s.size += h.size
		s.next, s.gaps, s.last = h.next, s.gaps+h.gaps, max(s.last, h.last)
	}
}
