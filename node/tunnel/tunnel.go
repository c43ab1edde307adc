// Package tunnel holds what both ends of a lease's tunnel/1 stream agree on: the arguments of each kind and the control
// messages.
//
// Invariants: every field is bounded by the frame limit of p2p/streams (64 KiB). Concurrency: values only. Persistence:
// none.
// Next: node/provider/tunnel.go serves, node/customer/files.go calls.
package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// ExecArgs opens an exec: Argv as given, no shell. Term: the terminal's kind, for TERM.
type ExecArgs struct {
	Argv []string `json:"argv"`
	TTY  bool     `json:"tty,omitempty"`
	Cols uint16   `json:"cols,omitempty"`
	Rows uint16   `json:"rows,omitempty"`
	Term string   `json:"term,omitempty"`
}

// LogsArgs opens a log stream; Follow waits for more until the job ended. Places: the caller takes records with their
// places from the offset From on; the answer begins with a Control of the same name, or the peer is older. Without it:
// the records after Since, without places.
type LogsArgs struct {
	Since  time.Time `json:"since"`
	Follow bool      `json:"follow,omitempty"`
	Places bool      `json:"places,omitempty"`
	From   uint64    `json:"from,omitempty"`
}

// PutArgs opens an input upload; Total is the sum of file sizes in bytes, at most the Order's input bytes.
type PutArgs struct {
	Total uint64 `json:"total"`
}

// Control is a message on channel 0; exactly one field is set, but where a comment says what it belongs to.
type Control struct {
	Exit     *int           `json:"exit,omitempty"`     // exec: the end
	Error    string         `json:"error,omitempty"`    // what went wrong, for people
	Code     market.Code    `json:"code,omitempty"`     // of Error, kebab-case; empty: internal
	EOF      bool           `json:"eof,omitempty"`      // no more on channel 1
	Resize   *[2]uint16     `json:"resize,omitempty"`   // cols, rows
	Manifest *spec.Manifest `json:"manifest,omitempty"` // put, get: what was moved
	End      bool           `json:"end,omitempty"`      // logs: all that there is was sent
	Places   bool           `json:"places,omitempty"`   // logs: records with places follow
	Log      *LogEnd        `json:"log,omitempty"`      // logs: of End, where the records have places
}

// LogEnd says how a log stands at its end: job.LogEnd.
type LogEnd struct {
	Total uint64 `json:"total"`
	Over  bool   `json:"over,omitempty"`
	Whole bool   `json:"whole,omitempty"`
}

// Failed is the control message of an error; one without a code is internal, and its text stays here, as does what lies
// below one with a code: it names paths of this machine.
func Failed(err error) Control {
	code := market.CodeOf(err)
	if code == "" {
		return Control{Error: "internal", Code: market.CodeInternal}
	}
	text := err.Error()
	if e := (*market.Error)(nil); errors.As(err, &e) {
		own := *e
		own.Err = nil
		text = own.Error()
	}
	return Control{Error: text, Code: code}
}

// Err is the error that a Failed message carries, a *market.Refusal; nil if it carries none.
func (c Control) Err() error {
	if c.Error == "" {
		return nil
	}
	code := c.Code
	if code == "" {
		code = market.CodeInternal
	}
	return market.Refuse(code, market.KindInternal, c.Error)
}

// Encode returns the message's JSON.
func (c Control) Encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		return []byte(`{"error":"internal"}`)
	}
	return b
}

// DecodeControl parses a control frame. Errors: not JSON of this form.
func DecodeControl(b []byte) (c Control, err error) {
	if err = json.Unmarshal(b, &c); err != nil {
		err = fmt.Errorf("control frame: %w", err)
	}
	return c, err
}

// logHeader is time in unix ns (8 bytes, big-endian) and the stream number.
const logHeader = 9

// EncodeLog frames one log record for channel 2.
func EncodeLog(t time.Time, stream uint8, data []byte) []byte {
	b := make([]byte, logHeader, logHeader+len(data))
	binary.BigEndian.PutUint64(b, uint64(t.UnixNano()))
	b[8] = stream
	return append(b, data...)
}

// DecodeLog reverses EncodeLog; data aliases b.
func DecodeLog(b []byte) (t time.Time, stream uint8, data []byte, err error) {
	if len(b) < logHeader {
		return t, 0, nil, errors.New("log record is cut")
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), b[8], b[logHeader:], nil
}

// Flags beside the stream number of a record with a place.
const (
	recordGap = 0x40
	recordRaw = 0x80
	placed    = logHeader + 8
)

// EncodeRecord frames a log record with its place for channel 2: time, stream and flags, offset (8 bytes), data or the
// gap's length (8 bytes).
func EncodeRecord(r job.LogRecord) []byte {
	b := make([]byte, placed, placed+max(8, len(r.Data)))
	binary.BigEndian.PutUint64(b, uint64(r.Time.UnixNano()))
	binary.BigEndian.PutUint64(b[logHeader:], r.Offset)
	b[8] = r.Stream
	if r.Raw {
		b[8] |= recordRaw
	}
	if r.Gap > 0 {
		b[8] |= recordGap
		return binary.BigEndian.AppendUint64(b, r.Gap)
	}
	return append(b, r.Data...)
}

// DecodeRecord reverses EncodeRecord; the data aliases b. An offset or a length above 2^62 is an error: sums of two
// cannot wrap.
func DecodeRecord(b []byte) (r job.LogRecord, err error) {
	if len(b) < placed {
		return r, errors.New("log record is cut")
	}
	r.Time = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
	r.Offset, r.Stream, r.Raw = binary.BigEndian.Uint64(b[logHeader:]), b[8]&^(recordGap|recordRaw), b[8]&recordRaw != 0
	if r.Data = b[placed:]; b[8]&recordGap != 0 {
		if len(r.Data) != 8 {
			return r, errors.New("log gap is cut")
		}
		r.Gap, r.Data = binary.BigEndian.Uint64(r.Data), nil
	}
	if max(r.Offset, r.Gap) > 1<<62 {
		return r, errors.New("log record at an impossible place")
	}
	return r, nil
}
