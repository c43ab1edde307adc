package rows

import (
	"encoding/binary"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// EncodeShare is the row of one lease's share of a channel.
func EncodeShare(s escrow.Share) []byte {
	c := writer(48)
	share(c, &s)
	return c.b
}

// DecodeShare is the inverse of EncodeShare. Errors: ErrRow.
func DecodeShare(b []byte) (s escrow.Share, err error) {
	c := reader(b)
	share(c, &s)
	return s, c.done()
}

func share(c *coder, s *escrow.Share) {
	num(c, &s.Paid)
	num(c, &s.Owed)
	num(c, &s.Cap)
	num(c, &s.MinHeadroom)
	c.flags(&s.Live)
}

// ShareKey is the key of a lease's share: a channel's shares lie together.
func ShareKey(ch market.ChannelID, id market.LeaseID) []byte {
	return append(ch[:len(ch):len(ch)], id[:]...)
}

// VoucherKey is the key of a voucher: a channel's vouchers lie together, the smallest first.
func VoucherKey(ch market.ChannelID, amount market.Amount) []byte {
	return binary.BigEndian.AppendUint64(ch[:len(ch):len(ch)], uint64(amount))
}

// EncodeVoucher is the row of a voucher: the 50 signed bytes and the signature, as anybody may bring them to the chain.
func EncodeVoucher(s escrow.Signed) []byte {
	m := s.Encode()
	return append(m[:], s.Sig[:]...)
}

// DecodeVoucher is the inverse of EncodeVoucher. Errors: ErrRow.
func DecodeVoucher(b []byte) (s escrow.Signed, err error) {
	if len(b) != escrow.SignedLen {
		return s, ErrRow
	}
	if s.Voucher, err = escrow.DecodeVoucher(b[:escrow.MessageLen]); err != nil {
		return s, ErrRow
	}
	s.Sig = [64]byte(b[escrow.MessageLen:])
	return s, nil
}
