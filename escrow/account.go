package escrow

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// ChannelLen is the length of a Channel's account; the offsets are filters and layout of version 1, served for ever.
const (
	ChannelLen     = 384
	OffStatus      = 2
	OffPayer       = 80
	OffPayee       = 112
	channelVersion = 1
	channelKind    = 1
)

// DecodeChannel reads version 1 of a Channel account's data; ID, Slot and Lamports are the caller's. It checks layout
// and the account's own invariants, not the owner: check that the account belongs to the program. Errors: ErrMalformed.
func DecodeChannel(b []byte) (s ChannelState, err error) {
	if len(b) != ChannelLen || b[0] != channelKind || b[1] != channelVersion {
		return s, fmt.Errorf("%w: not a version 1 channel account", ErrMalformed)
	}
	if b[2] > uint8(StatusSealed) || b[3] != 0 || b[5] != 255 {
		return s, fmt.Errorf("%w: channel status %d, flags %d, bump %d", ErrMalformed, b[2], b[3], b[5])
	}
	u64 := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	s = ChannelState{
		Status: Status(b[2]), Deposit: market.Amount(u64(8)), Settled: market.Amount(u64(16)),
		Paid:     market.Amount(u64(24)),
		Refunded: market.Amount(u64(32)), Deadline: int64(u64(40)), OpenSlot: u64(48), Salt: u64(56),
		ClusterTag: u64(64),
		CloseDelay: time.Duration(binary.LittleEndian.Uint32(b[72:])) * time.Second,
		OpenedAt:   int64(u64(368)), VoucherSlot: u64(376),
	}
	for _, f := range []struct {
		to *[32]byte
		at int
	}{
		{(*[32]byte)(&s.Payer), OffPayer}, {(*[32]byte)(&s.Payee), OffPayee}, {&s.VoucherKey, 144},
		{&s.ReleaseKey, 176},
		{(*[32]byte)(&s.Mint), 208}, {(*[32]byte)(&s.Vault), 240}, {(*[32]byte)(&s.PayeeDest), 272},
		{(*[32]byte)(&s.PayerDest), 304},
	} {
		copy(f.to[:], b[f.at:])
	}
	if s.Paid > s.Settled || s.Settled > s.Deposit || (s.Refunded != 0 && s.Refunded != s.Deposit-s.Settled) {
		return ChannelState{}, fmt.Errorf("%w: deposit %d, settled %d, paid %d, refunded %d", ErrMalformed, s.Deposit,
			s.Settled, s.Paid, s.Refunded)
	}
	return s, nil
}

// EncodeChannel is the inverse of DecodeChannel for an account as the program writes it; ledgers in memory and golden
// files use it.
func EncodeChannel(s ChannelState) (b [ChannelLen]byte) {
	b[0], b[1], b[2], b[5] = channelKind, channelVersion, uint8(s.Status), 255
	if s.Mint == (market.Address{}) {
		b[4] = market.SOLDecimals
	}
	for _, f := range []struct {
		at int
		v  uint64
	}{
		{8, uint64(s.Deposit)}, {16, uint64(s.Settled)}, {24, uint64(s.Paid)}, {32, uint64(s.Refunded)},
		{40, uint64(s.Deadline)},
		{48, s.OpenSlot}, {56, s.Salt}, {64, s.ClusterTag}, {368, uint64(s.OpenedAt)}, {376, s.VoucherSlot},
	} {
		binary.LittleEndian.PutUint64(b[f.at:], f.v)
	}
	binary.LittleEndian.PutUint32(b[72:], uint32(s.CloseDelay/time.Second))
	for _, f := range []struct {
		at int
		v  [32]byte
	}{
		{OffPayer, s.Payer}, {OffPayee, s.Payee}, {144, s.VoucherKey}, {176, s.ReleaseKey}, {208, s.Mint},
		{240, s.Vault},
		{272, s.PayeeDest}, {304, s.PayerDest},
	} {
		copy(b[f.at:], f.v[:])
	}
	return b
}
