package escrowtest

import (
	"context"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// What a node's account has beside escrow.Ledger.

// Serve returns when ctx ends: intents take effect inside Submit.
func (l *Ledger) Serve(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Airdrop funds an account. Errors: the chain is down.
func (l *Ledger) Airdrop(_ context.Context, to market.Address, amount market.Amount) error {
	l.chain.mu.Lock()
	down := l.chain.down
	l.chain.mu.Unlock()
	if down == nil {
		l.chain.Fund(to, amount)
	}
	return down
}

// Needs says what Submit would compare with the balance. Errors: the chain is down.
func (l *Ledger) Needs(_ context.Context, in escrow.Intent) (escrow.Needs, error) {
	c := l.chain
	c.mu.Lock()
	defer c.mu.Unlock()
	n := escrow.Needs{Balance: market.Amount(c.st.lamports[l.owner]), Amount: in.Amount, ClaimFee: in.ClaimFee,
		Fees: market.Amount(fees(in))}
	if in.Op != escrow.OpTransfer {
		n.Minimum = market.Amount(c.env().rent(0))
	}
	if in.Op == escrow.OpOpen {
		n.Storage = market.Amount(c.env().rent(escrow.ChannelLen))
	}
	n.Total = n.Amount + n.ClaimFee + n.Fees + n.Storage + n.Minimum
	return n, c.down
}

// Ask is the genesis hash as an endpoint says it. Errors: the chain is down.
func (c *Chain) Ask() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Genesis(), c.down
}
