package streams

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gpuai/gpuai/market"
)

// Message types of all streams, on the wire: append-only.
const (
	msgOrder uint8 = iota + 1
	msgQuote
	msgRefusal
	msgPropose
	msgAck
	msgStop
	msgOutcome
	msgStatusRequest
	msgStatus
	msgReceipt
	msgPayment
	msgPaymentAck
	msgReleaseRequest
	msgRelease
	msgPing
	msgOpen
	msgOpened
)

// Largest message of each protocol, bytes.
const (
	maxQuoteMsg   = 9 << 10
	maxLeaseMsg   = 68 << 10
	maxVoucherMsg = 6 << 10
	maxOpenMsg    = 65 << 10
)

// writeMsg sends {length uvarint, type u8, body}.
func writeMsg(w io.Writer, t uint8, body []byte) error {
	b := binary.AppendUvarint(make([]byte, 0, len(body)+6), uint64(len(body)+1))
	if _, err := w.Write(append(append(b, t), body...)); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

var errTooLarge = errors.New("message is too large")

// readMsg reads one message of at most limit bytes.
func readMsg(r io.Reader, limit int) (t uint8, body []byte, err error) {
	n, err := binary.ReadUvarint(byteReader{r})
	if err != nil {
		return 0, nil, err
	}
	if n < 1 || n > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes, limit %d", errTooLarge, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, fmt.Errorf("read message: %w", err)
	}
	return b[0], b[1:], nil
}

type refusalWire struct {
	Code, Detail string
	Kind         market.Kind
	RetryMS      int64
}

// encodeRefusal turns any error into what a peer may see: a Refusal as it is, anything else as "internal" without text.
func encodeRefusal(err error) []byte {
	var r *market.Refusal
	if !errors.As(err, &r) {
		r = &market.Refusal{Code: "internal", Kind: market.KindInternal}
	}
	b, err := json.Marshal(refusalWire{r.Code, r.Detail, r.Kind, r.RetryAfter.Milliseconds()})
	if err != nil {
		return []byte(`{"Code":"internal"}`)
	}
	return b
}

// decodeRefusal bounds what a peer says: code ≤ 32 bytes of [a-z0-9-], detail ≤ 256 printable bytes.
func decodeRefusal(b []byte) error {
	var w refusalWire
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("decode refusal: %w", err)
	}
	if len(w.Code) == 0 || len(w.Code) > 32 || len(w.Detail) > 512 {
		return errors.New("refusal out of bounds")
	}
	for _, c := range w.Code {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New("refusal code is no word")
		}
	}
	detail := []rune{}
	for _, c := range w.Detail {
		if c >= 0x20 && c != 0x7f && (c < 0x202a || c > 0x202e) {
			detail = append(detail, c)
		}
	}
	return &market.Refusal{Code: w.Code, Detail: string(detail), Kind: w.Kind, RetryAfter: time.Duration(max(w.RetryMS, 0)) * time.Millisecond}
}
