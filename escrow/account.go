package escrow

import (
	"fmt"
	"time"

	"github.com/gpuai/gpuai/market"
)

// DecodeChannel reads version 1 of a Channel account's data; ID, Slot and Lamports are the caller's. It checks layout
// and the account's own invariants, not the owner: check that the account belongs to the program. Errors: ErrMalformed.
func DecodeChannel(b []byte) (s ChannelState, err error) {
	d, err := decodeChannelData(b)
	if err != nil {
		return s, err
	}
	if d.Status > uint8(StatusSealed) || d.Flags != 0 || d.Bump != 255 {
		return s, fmt.Errorf("%w: channel status %d, flags %d, bump %d", ErrMalformed, d.Status, d.Flags, d.Bump)
	}
	if d.Paid > d.Settled || d.Settled > d.Deposit || (d.Refunded != 0 && d.Refunded != d.Deposit-d.Settled) {
		return s, fmt.Errorf("%w: deposit %d, settled %d, paid %d, refunded %d", ErrMalformed, d.Deposit, d.Settled,
			d.Paid, d.Refunded)
	}
	return ChannelState{
		Status: Status(d.Status), Deposit: d.Deposit, Settled: d.Settled, Paid: d.Paid, Refunded: d.Refunded,
		Deadline: d.Deadline, OpenSlot: d.OpenSlot, Salt: d.Salt, ClusterTag: d.ClusterTag,
		CloseDelay: time.Duration(d.CloseDelay) * time.Second,
		Payer:      d.Payer, Payee: d.Payee, Mint: d.Mint, Vault: d.Vault, VoucherKey: d.VoucherKey,
		ReleaseKey: d.ReleaseKey, PayeeDest: d.PayeeDest, PayerDest: d.PayerDest, OpenedAt: d.OpenedAt,
		VoucherSlot: d.VoucherSlot,
	}, nil
}

// EncodeChannel is the inverse of DecodeChannel for an account as the program writes it; ledgers in memory and golden
// files use it.
func EncodeChannel(s ChannelState) [ChannelLen]byte {
	d := ChannelData{
		Status: uint8(s.Status), Bump: 255, Deposit: s.Deposit, Settled: s.Settled, Paid: s.Paid, Refunded: s.Refunded,
		Deadline: s.Deadline, OpenSlot: s.OpenSlot, Salt: s.Salt, ClusterTag: s.ClusterTag,
		CloseDelay: uint32(s.CloseDelay / time.Second),
		Payer:      s.Payer, Payee: s.Payee, Mint: s.Mint, Vault: s.Vault, VoucherKey: s.VoucherKey,
		ReleaseKey: s.ReleaseKey, PayeeDest: s.PayeeDest, PayerDest: s.PayerDest, OpenedAt: s.OpenedAt,
		VoucherSlot: s.VoucherSlot,
	}
	if s.Mint == (market.Address{}) {
		d.Decimals = market.SOLDecimals
	}
	return d.encode()
}
