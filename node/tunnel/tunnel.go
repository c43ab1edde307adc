// Package tunnel holds what both ends of a lease's tunnel/1 stream agree on: the arguments of each kind and the control messages.
//
// Invariants: every field is bounded by the frame limit of p2p/streams (64 KiB). Concurrency: values only. Persistence: none.
// Next: node/provider/tunnel.go serves, node/customer/files.go calls.
package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// ExecArgs opens an exec: Argv as given, no shell.
type ExecArgs struct {
	Argv []string `json:"argv"`
	TTY  bool     `json:"tty,omitempty"`
	Cols uint16   `json:"cols,omitempty"`
	Rows uint16   `json:"rows,omitempty"`
}

// LogsArgs opens a log stream: records not older than Since; Follow waits for more until the job ended.
type LogsArgs struct {
	Since  time.Time `json:"since"`
	Follow bool      `json:"follow,omitempty"`
}

// PutArgs opens an input upload; Total is the sum of file sizes in bytes, at most the Order's input bytes.
type PutArgs struct {
	Total uint64 `json:"total"`
}

// CodeStaged answers a second put: the inputs are there already, which is what the sender wants.
const CodeStaged = "inputs-staged"

// Control is a message on channel 0; exactly one field is set.
type Control struct {
	Exit     *int           `json:"exit,omitempty"`     // exec: the end
	Error    string         `json:"error,omitempty"`    // what went wrong, for people
	Code     string         `json:"code,omitempty"`     // of Error, kebab-case; empty: internal
	EOF      bool           `json:"eof,omitempty"`      // no more on channel 1
	Resize   *[2]uint16     `json:"resize,omitempty"`   // cols, rows
	Manifest *spec.Manifest `json:"manifest,omitempty"` // put, get: what was moved
	End      bool           `json:"end,omitempty"`      // logs: the job has ended and all was sent
}

// Failed is the control message of an error; one without a code is internal, and its text stays here.
func Failed(err error) Control {
	code := market.CodeOf(err)
	if code == "" {
		return Control{Error: "internal", Code: "internal"}
	}
	return Control{Error: err.Error(), Code: code}
}

// Err is the error that a Failed message carries, a *market.Refusal; nil if it carries none.
func (c Control) Err() error {
	if c.Error == "" {
		return nil
	}
	code := c.Code
	if code == "" {
		code = "internal"
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
