package public

import (
	"math/big"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// WalletSum sums all channels of a wallet on one side, in one mint; n counts them. Locked, returns and owed are of
// those whose account is there still.
type WalletSum struct {
	Side    string    `json:"side" enum:"payer,payee"`
	Open    int64     `json:"open"`             // channels whose account is there
	Locked  api.Money `json:"locked"`           // deposits, less what was paid and refunded
	Returns api.Money `json:"returns,omitzero"` // to a payer, at most: see /definitions
	Owed    api.Money `json:"owed,omitzero"`    // to a payee: settled, and not paid out yet
	Settled api.Money `json:"settled"`          // of all channels, also those that are gone
	Origin
}

func walletSum(w db.WalletSum) WalletSum {
	of := func(plus *big.Int, minus ...*big.Int) api.Money {
		v := new(big.Int).Set(plus)
		for _, m := range minus {
			v.Sub(v, m)
		}
		if m, ok := money(w.Mint, v.String()); ok {
			return m
		}
		return api.Money{Amount: v.String(), Mint: w.Mint, Decimals: int(w.Decimals)}
	}
	out := WalletSum{Side: "payee", Open: w.Open, Locked: of(w.Deposit, w.Paid, w.Refunded), Settled: of(w.Earned),
		Origin: Origin{Src: db.Chain, AsOf: AsOf{Slot: w.Slot}, N: w.N}}
	if w.Pays {
		out.Side, out.Returns = "payer", of(w.Deposit, w.Settled, w.Refunded)
	} else {
		out.Owed = of(w.Settled, w.Paid)
	}
	return out
}
