package rows

import (
	"errors"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// Want is a Want as a row: rates and times were checked as it came.
func Want(w market.Want) db.Want {
	row := db.Want{Customer: w.Customer.String(), Slot: int64(w.Slot), Seq: int64(w.Seq), Classes: w.Classes,
		Devices: int64(w.Devices), Mint: mintOf(w.Mint), Rate: int64(w.MaxRate),
		DurationSec: int64(w.MaxDuration / time.Second), Began: w.Issued().UnixMilli(), Until: w.Expires().UnixMilli()}
	if w.Withdrawn() {
		row.Until = row.Began
	}
	return row
}

func mintOf(a market.Address) string {
	if a == (market.Address{}) {
		return db.SOLMint
	}
	return a.String()
}

// Channel is an account as a row. Error: db.ErrTooLarge.
func Channel(s escrow.ChannelState) (c db.Channel, err error) {
	c = db.Channel{ID: s.ID.String(), Status: int64(s.Status), Deadline: s.Deadline, OpenedAt: s.OpenedAt,
		CloseDelay: int64(s.CloseDelay / time.Second)}
	for to, v := range map[*int64]uint64{
		&c.Deposit: uint64(s.Deposit), &c.Settled: uint64(s.Settled), &c.Paid: uint64(s.Paid),
		&c.Refunded: uint64(s.Refunded), &c.OpenSlot: s.OpenSlot, &c.Lamports: s.Lamports, &c.Slot: s.Slot,
	} {
		fit, fault := db.Amount(v)
		*to, err = fit, errors.Join(err, fault)
	}
	if s.Status == escrow.StatusGone {
		return c, err
	}
	c.Payer, c.Payee, c.Mint, c.Decimals = s.Payer.String(), s.Payee.String(), mintOf(s.Mint), market.SOLDecimals
	c.VoucherKey = market.Address(s.VoucherKey).String()
	return c, err
}

// Told adds to what is known of a channel what an instruction that succeeded says of it: of one whose account has gone
// nothing else does.
func Told(c db.Channel, t db.Tx, call solana.Call) db.Channel {
	switch t.Name {
	case escrow.Calls[escrow.TagOpen].Name:
		d, err := escrow.DecodeOpenData(call.Data)
		if err != nil {
			return c // the chain would not have taken it
		}
		c.Payer, c.Payee, c.Mint, c.Decimals = t.Authority, call.Accounts[1].String(), db.SOLMint, market.SOLDecimals
		c.VoucherKey, c.CloseDelay = market.Address(d.VoucherKey).String(), int64(d.CloseDelay)
		c.OpenedAt = t.At / 1000
		c.OpenSlot, _ = db.Amount(d.OpenSlot) // the chain took it, so it is one
		c.Deposit = max(c.Deposit, t.Amount)
	case escrow.Calls[escrow.TagTopUp].Name:
		c.Deposit = max(c.Deposit, t.Amount)
	case escrow.Calls[escrow.TagClaim].Name, escrow.Calls[escrow.TagRecord].Name, escrow.Calls[escrow.TagRelease].Name:
		c.Settled = max(c.Settled, t.Amount)
	}
	return c
}
