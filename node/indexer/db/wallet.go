package db

import (
	"context"
	"math/big"
)

// WalletSum sums the channels that an address pays, or is paid by, in one mint.
type WalletSum struct {
	Pays                             bool
	Mint                             string
	Decimals                         int64
	N, Open                          int64    // all, and those whose account is there
	Deposit, Settled, Paid, Refunded *big.Int // of those
	Earned                           *big.Int // settled, of all
	Slot                             int64    // of the newest read
}

// WalletSums are those of an address: first of what it pays, then by mint.
func (d *Reads) WalletSums(ctx context.Context, address string) (out []WalletSum, err error) {
	for _, role := range []string{"payer", "payee"} {
		there := func(column string) string { return halves("CASE status WHEN 255 THEN 0 ELSE " + column + " END") }
		sums, err := list(ctx, d, func(s scanner) (w WalletSum, err error) {
			var v [10]int64
			err = s.Scan(&w.Mint, &w.Decimals, &w.N, &w.Open, &w.Slot, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
				&v[7], &v[8], &v[9])
			w.Deposit, w.Settled, w.Paid = whole(v[0], v[1]), whole(v[2], v[3]), whole(v[4], v[5])
			w.Refunded, w.Earned = whole(v[6], v[7]), whole(v[8], v[9])
			w.Pays = role == "payer"
			return w, err
		}, "SELECT mint, decimals, COUNT(*), SUM(CASE status WHEN 255 THEN 0 ELSE 1 END), MAX(slot), "+
			there("deposit")+", "+there("settled")+", "+there("paid")+", "+there("refunded")+", "+halves("settled")+
			" FROM channels WHERE "+role+" = $1 GROUP BY mint, decimals ORDER BY mint, decimals", address)
		if err != nil {
			return nil, err
		}
		out = append(out, sums...)
	}
	return out, nil
}
