package guard

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"time"
)

// A job's log travels through the engine as frames: lines of ASCII that every log driver keeps as they are, below the
// size at which engines split lines. A frame is
//
//	<gpuai1 OFFSET STREAM NANOSECONDS BASE64 CRC32 gpuai1>
//
// OFFSET is the place of its first byte in the job's merged log, and the frame's identity. Stream 0 is the end: OFFSET
// is then the total, and BASE64 is "-". The CRC covers what is decoded. Both ends of a line are marked, so that either
// half of a torn one is known as such.
const (
	frameHead = "<gpuai1 "
	frameTail = " gpuai1>"
)

// LogData is how many bytes of output a frame carries at most: in base64 with its fields it stays far below 16 KiB.
const LogData = 8 << 10

// StreamEnd marks the end frame.
const StreamEnd uint8 = 0

// LogFrame is one piece of a job's output: Stream 1 = stdout, 2 = stderr, StreamEnd = there is no more, Offset is the
// total.
type LogFrame struct {
	Offset uint64
	Stream uint8
	Time   time.Time
	Data   []byte
}

// AppendLog appends the frame as a line with its line feed.
func AppendLog(b []byte, f LogFrame) []byte {
	b = append(b, frameHead...)
	b = strconv.AppendUint(b, f.Offset, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(f.Stream), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, f.Time.UnixNano(), 10)
	b = append(b, ' ')
	if len(f.Data) == 0 {
		b = append(b, '-')
	}
	b = base64.StdEncoding.AppendEncode(b, f.Data)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(f.sum()), 16)
	b = append(b, frameTail...)
	return append(b, '\n')
}

func (f LogFrame) sum() uint32 {
	var h [17]byte
	binary.BigEndian.PutUint64(h[:], f.Offset)
	binary.BigEndian.PutUint64(h[8:], uint64(f.Time.UnixNano()))
	h[16] = f.Stream
	return crc32.Update(crc32.ChecksumIEEE(h[:]), crc32.IEEETable, f.Data)
}

// ParseLog reads a line, with or without its line feed. torn: it is what is left of a frame. Neither ok nor torn: it is
// no frame at all.
func ParseLog(line []byte) (f LogFrame, ok, torn bool) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	head, tail := bytes.HasPrefix(line, []byte(frameHead)), bytes.HasSuffix(line, []byte(frameTail))
	if !head && !tail {
		return f, false, false
	}
	if !head || !tail || len(line) < len(frameHead)+len(frameTail) {
		return f, false, true
	}
	parts := bytes.Split(line[len(frameHead):len(line)-len(frameTail)], []byte(" "))
	if len(parts) != 5 {
		return f, false, true
	}
	var err [4]error
	var stream, sum uint64
	var nano int64
	f.Offset, err[0] = strconv.ParseUint(string(parts[0]), 10, 63) // a length can be added without a wrap
	stream, err[1] = strconv.ParseUint(string(parts[1]), 10, 2)
	nano, err[2] = strconv.ParseInt(string(parts[2]), 10, 64)
	sum, err[3] = strconv.ParseUint(string(parts[4]), 16, 32)
	for _, e := range err {
		if e != nil {
			return LogFrame{}, false, true
		}
	}
	f.Stream, f.Time = uint8(stream), time.Unix(0, nano)
	if string(parts[3]) != "-" {
		var derr error
		if f.Data, derr = base64.StdEncoding.AppendDecode(nil, parts[3]); derr != nil {
			return LogFrame{}, false, true
		}
	}
	if uint64(f.sum()) != sum || len(f.Data) > LogData || (f.Stream == StreamEnd) != (len(f.Data) == 0) ||
		f.Stream > 2 {
		return LogFrame{}, false, true
	}
	return f, true, false
}
