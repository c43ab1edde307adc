package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"

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
	msgAmend
	msgWantReply
)

// Largest message of each protocol, bytes.
const (
	maxQuoteMsg   = 9 << 10
	maxLeaseMsg   = 68 << 10
	maxVoucherMsg = 6 << 10
	maxOpenMsg    = 65 << 10
)

// Codes of a reset stream, where no answer can be given: append-only. Below 0x10000 they are libp2p's.
const (
	resetTooLarge  network.StreamErrorCode = 0x10001
	resetMalformed network.StreamErrorCode = 0x10002
)

var (
	errTooLarge  = errors.New("message is too large")
	errMalformed = errors.New("message of a wrong type or form")
)

// writeMsg sends {length uvarint, type u8, body}, in one write.
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

// readMsg reads one message of at most limit bytes.
func readMsg(r io.Reader, limit int) (t uint8, body []byte, err error) {
	n, err := binary.ReadUvarint(byteReader{r})
	if err != nil {
		return 0, nil, err
	}
	if n < 1 {
		return 0, nil, errMalformed
	}
	if n > uint64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes, limit %d", errTooLarge, n, limit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, fmt.Errorf("read message: %w", err)
	}
	return b[0], b[1:], nil
}

// resetFor resets a stream so that the peer learns what was wrong with its message.
func resetFor(st network.Stream, err error) {
	code := network.StreamNoError
	switch {
	case errors.Is(err, errTooLarge):
		code = resetTooLarge
	case errors.Is(err, errMalformed):
		code = resetMalformed
	}
	_ = st.ResetWithError(code)
}

// ofReset turns a peer's reset code into the Refusal that it stands for; other errors stay.
func ofReset(err error) error {
	if errors.Is(err, network.ErrResourceLimitExceeded) {
		return market.Refuse(market.CodeBusy, market.KindUnavailable,
			"too much is asked at once") // by this node's own limits
	}
	var se *network.StreamError
	if !errors.As(err, &se) || !se.Remote {
		return err
	}
	switch se.ErrorCode {
	case network.StreamRateLimited:
		return market.Refuse(market.CodeRateLimited, market.KindUnavailable, "")
	case network.StreamResourceLimitExceeded:
		return market.Refuse(market.CodeBusy, market.KindUnavailable, "")
	case resetTooLarge:
		return market.Refuse(market.CodeTooLarge, market.KindInvalid, "")
	case resetMalformed:
		return market.Refuse(market.CodeMalformed, market.KindInvalid, "")
	}
	return err
}
