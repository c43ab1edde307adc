package rows

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// ErrNoCode is an end whose reason is no word of small letters.
var ErrNoCode = errors.New("the code is no word")

// maxCode is the longest code of an end, in bytes.
const maxCode = 48

// Lease is a lease as both sides signed its end; they were checked. Errors: db.ErrTooLarge, ErrNoCode.
func Lease(o market.Outcome, provider, customer []byte) (db.Lease, error) {
	amount, err := db.Amount(o.Amount)
	if err == nil && !word(string(o.Code)) {
		err = ErrNoCode
	}
	if err != nil {
		return db.Lease{}, fmt.Errorf("outcome of %s: %w", o.Lease, err)
	}
	d := o.Deal
	l := db.Lease{ID: o.Lease.String(), Accepted: o.Accepted.UnixMilli(), Ended: o.Ended.UnixMilli(),
		BillableMS: int64(o.BillableMS), Amount: amount, Code: string(o.Code), Fault: int64(o.Fault),
		ByProvider: provider,
		ByCustomer: customer,
		Deal: db.Deal{Class: d.Class, Mint: mintOf(d.Mint), Devices: int64(d.Devices), Rate: int64(d.Rate),
			Provider: d.Provider.String(), Customer: d.Customer.String(), Channel: d.Channel.String(),
			Payer: d.Payer.String(), Payee: d.Payee.String()}}
	if !o.Ready.IsZero() {
		l.Ready = o.Ready.UnixMilli()
	}
	if o.OutputsRoot != ([32]byte{}) {
		l.Outputs = hex.EncodeToString(o.OutputsRoot[:])
	}
	if d.Bind != ([64]byte{}) {
		l.Bind = d.Bind[:]
	}
	return l, nil
}

// word reports small letters, digits and dashes: a code comes from a peer and stands on pages.
func word(s string) bool {
	for _, r := range s {
		if r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxCode
}
