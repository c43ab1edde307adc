// Package money is the API's side of the spending account and its channels.
//
// Invariants: it keeps nothing; the same key of a withdrawal is the same transfer. Concurrency: all methods are safe
// for any goroutine. Persistence: none. Next: Purse.
package money

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/backend/orders"
	"github.com/gpuai/gpuai/node/customer"
	"github.com/gpuai/gpuai/node/customer/purse"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/p2p"
)

// Account is what the wallet's commands need of the spending account.
type Account interface {
	Address() market.Address
	Balance(ctx context.Context, a market.Address) (market.Amount, error)
	Airdrop(ctx context.Context, to market.Address, amount market.Amount) error
	Needs(ctx context.Context, in escrow.Intent) (escrow.Needs, error)
	Submit(ctx context.Context, in escrow.Intent) error
	Result(ctx context.Context, key string) (r escrow.Result, ok bool, err error)
}

// Purse is api.Spending.
type Purse struct {
	Network p2p.Network
	Account func() (Account, error)
	Role    func() (*customer.Customer, error)
	Hint    func(missing market.Amount) string // how the account gets money
	Tell    func(context.Context, store.Event)
}

var _ api.Spending = (*Purse)(nil)

// chainWait bounds how long a request waits for its transaction; chainPoll is how often it looks.
const (
	chainWait = 60 * time.Second
	chainPoll = 200 * time.Millisecond
)

// Wallet implements api.Spending.
func (p *Purse) Wallet(ctx context.Context) (api.Wallet, error) {
	l, err := p.Account()
	if err != nil {
		return api.Wallet{}, err
	}
	balance, err := l.Balance(ctx, l.Address())
	if err != nil {
		return api.Wallet{}, err
	}
	w := api.Wallet{Schema: "gpuai.wallet/v1", Address: l.Address().String(), Network: p.Network.Name,
		Available: api.SOL(balance)}
	var f walletFigures
	if c, err := p.Role(); err == nil {
		past, err := c.Spent()
		if err != nil {
			return api.Wallet{}, err
		}
		f = figures(past, c.Orders(), c.Held())
	}
	w.InChannels, w.AtRisk, w.Returning, w.Storage = api.SOL(f.locked), api.SOL(f.risk), api.SOL(f.returning),
		api.SOL(f.costs.Storage)
	w.Paid, w.Fees, w.ClaimFees = api.SOL(f.paid), api.SOL(f.costs.Network), api.SOL(f.costs.ClaimFee)
	return w, nil
}

// walletFigures are where the wallet's money is: with what is available and what was withdrawn they add up to what was
// put in.
type walletFigures struct {
	locked, returning, risk, paid market.Amount
	costs                         customer.Costs
}

// figures sums over orders and channels, beside past orders: what is due on a channel is paid, the rest of its deposit
// is locked, or on its way back.
func figures(past customer.Spent, list []customer.View, channels []purse.View) (f walletFigures) {
	f.paid, f.costs = past.Paid, past.Costs
	due := map[market.ChannelID]market.Amount{}
	for _, v := range list {
		paid := v.Cost()
		f.paid += paid
		f.costs.Network, f.costs.ClaimFee, f.costs.Storage = f.costs.Network+v.Costs.Network,
			f.costs.ClaimFee+v.Costs.ClaimFee, f.costs.Storage+v.Costs.Storage
		if !v.Finished {
			due[v.Channel] += paid
		}
		f.risk += orders.Risk(v)
	}
	for _, ch := range channels {
		a := ch.Account
		rest := a.Seen - min(max(a.Settled, due[ch.ID]), a.Seen)
		switch a.Phase {
		case escrow.PhaseSeen, escrow.PhaseOpen:
			f.locked += rest
		case escrow.PhaseClosing, escrow.PhaseReleasing:
			f.returning += rest
		case escrow.PhaseSealed:
			f.returning += a.Seen - min(a.Settled+ch.Returned, a.Seen)
		}
	}
	return f
}

// WalletNew implements api.Spending: the account was made with the node's keys, so it is there.
func (p *Purse) WalletNew(ctx context.Context) (api.Wallet, error) { return p.Wallet(ctx) }

// Airdrop implements api.Spending. Errors: not-allowed on mainnet; timeout.
func (p *Purse) Airdrop(ctx context.Context, amount market.Amount) (api.Wallet, error) {
	l, err := p.Account()
	if err != nil {
		return api.Wallet{}, err
	}
	if n := p.Network; !n.Local && n.Name != "devnet" {
		return api.Wallet{}, &market.Error{Code: market.CodeNotAllowed, Kind: market.KindDenied, Op: "airdrop",
			Detail: "there is no free money on " + n.Name, Hint: "send SOL from a wallet"}
	}
	before, err := l.Balance(ctx, l.Address())
	if err != nil {
		return api.Wallet{}, err
	}
	if err := l.Airdrop(ctx, l.Address(), amount); err != nil {
		return api.Wallet{}, &market.Error{Code: market.CodeAirdropRefused, Kind: market.KindUnavailable, Op: "airdrop",
			Detail: "the faucet refused", Err: err, Hint: "try a smaller amount, or later"}
	}
	err = poll(ctx, "airdrop", func() (bool, error) {
		now, err := l.Balance(ctx, l.Address())
		return err == nil && now > before, nil // an endpoint that is silent once is asked again
	})
	if err != nil {
		return api.Wallet{}, err
	}
	return p.Wallet(ctx)
}

// poll asks until done. Errors: f's; timeout after chainWait; ctx's.
func poll(ctx context.Context, op string, f func() (done bool, err error)) error {
	for end := time.Now().Add(chainWait); ; {
		if done, err := f(); done || err != nil {
			return err
		}
		if time.Now().After(end) {
			return &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: op,
				Detail: "the ledger has not confirmed it yet", Hint: "gpuai wallet show"}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(chainPoll):
		}
	}
}

// Withdraw implements api.Spending. Errors: bad-usage, funds-short, spend-cap, transaction-pending.
func (p *Purse) Withdraw(ctx context.Context, w api.Withdrawal) (api.Transfer, error) {
	l, err := p.Account()
	if err != nil {
		return api.Transfer{}, err
	}
	dest, err := market.ParseAddress(w.To)
	if err != nil || (w.Amount == 0) != w.All || w.Key == "" {
		return api.Transfer{}, &market.Error{Code: market.CodeBadUsage, Kind: market.KindInvalid, Op: "withdraw",
			Detail: "an address and an amount are needed", Err: err, Hint: "gpuai wallet withdraw --help"}
	}
	before, err := l.Balance(ctx, l.Address())
	if err != nil {
		return api.Transfer{}, err
	}
	// the same key is the same transfer, also after a restart
	h := sha256.Sum256([]byte("gpuai/withdraw/1\x00" + w.Key))
	in := escrow.Intent{Op: escrow.OpTransfer, Nonce: binary.LittleEndian.Uint64(h[:]), Amount: w.Amount, To: dest,
		All: w.All}
	out := api.Transfer{Schema: "gpuai.transfer/v1", To: dest.String()}
	_, sent, err := l.Result(ctx, in.Key())
	if err != nil {
		return api.Transfer{}, err
	}
	if !sent && w.All {
		if err := p.keep(ctx, l, before, &in, &out); err != nil {
			return api.Transfer{}, err
		}
	}
	if err := l.Submit(ctx, in); err != nil {
		return api.Transfer{}, p.withdrawFault(w, before, err)
	}
	if !sent {
		p.Tell(ctx, store.Event{Topic: "security", ID: dest.String(), Cause: "withdrawal-sent", Money: true,
			Amounts: map[string]market.Amount{"amount": in.Amount}})
	}
	out.Amount = api.SOL(in.Amount)
	err = poll(ctx, "withdraw", func() (bool, error) {
		res, ok, err := l.Result(ctx, in.Key())
		switch {
		case err != nil || !ok:
			return false, err
		case res.State == escrow.Failed:
			return false, &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "withdraw",
				Detail: res.Err,
				Hint:   "gpuai wallet show"}
		case res.State == escrow.ConfirmedTx || res.State == escrow.Final:
			out.Tx = res.Signature
			if in.All && !sent {
				out.Amount = api.SOL(before - min(market.Amount(res.Fee), before))
			}
			return true, nil
		}
		return false, nil
	})
	return out, err
}

// keep makes a withdrawal of all one of what is free beside the fees that own channels still need: without them, the
// deposits would stay where they are until the account holds something again. Errors: chain-unreachable; funds-short.
func (p *Purse) keep(ctx context.Context, l Account, holds market.Amount, in *escrow.Intent, out *api.Transfer) error {
	c, err := p.Role()
	if err != nil {
		return nil // who does not buy has no channels
	}
	var keep market.Amount
	for _, ch := range c.Held() {
		steps := toEnd(ch.Account.Phase)
		if len(steps) > 0 {
			out.Channels++
		}
		for _, op := range steps {
			n, err := l.Needs(ctx, escrow.Intent{Op: op, Channel: ch.ID})
			if err != nil {
				return err
			}
			if keep == 0 {
				keep = n.Minimum // else the ledger would not keep the account
			}
			keep += n.Fees
		}
	}
	if out.Channels == 0 {
		return nil
	}
	n, err := l.Needs(ctx, escrow.Intent{Op: escrow.OpTransfer, To: in.To, All: true}) // up to two transactions
	if err != nil {
		return err
	}
	if holds <= keep+n.Fees {
		return &market.Error{Code: market.CodeFundsShort, Kind: market.KindConflict, Op: "withdraw",
			Detail: fmt.Sprintf("the wallet holds %s SOL, and %s SOL of it are for the fees of %d channels that "+
				"are still to be closed: without them their deposits would not come back", holds.SOL(), keep.SOL(),
				out.Channels), Hint: "gpuai channel list; an amount takes what you say: gpuai wallet withdraw " +
				"ADDRESS SOL"}
	}
	in.All, in.Amount = false, holds-keep-n.Fees
	out.Kept = api.SOL(keep)
	return nil
}

// toEnd are the transactions that may still end a channel and bring its storage deposit back.
func toEnd(p escrow.Phase) []escrow.Op {
	switch p {
	case escrow.PhaseGone, escrow.PhaseLost:
		return nil
	case escrow.PhaseSealed:
		return []escrow.Op{escrow.OpReclaim}
	case escrow.PhaseClosing, escrow.PhaseReleasing:
		return []escrow.Op{escrow.OpFinish, escrow.OpReclaim}
	}
	return []escrow.Op{escrow.OpRequestClose, escrow.OpFinish, escrow.OpReclaim}
}

// withdrawFault says of an account that holds too little for a withdrawal what it holds, and how it gets more on this
// network.
func (p *Purse) withdrawFault(w api.Withdrawal, holds market.Amount, err error) error {
	var e *market.Error
	if !errors.As(err, &e) || e.Code != market.CodeFundsShort {
		return err
	}
	own := *e
	own.Hint = p.Hint(w.Amount - min(holds, w.Amount))
	if w.All {
		own.Detail = "the wallet holds " + holds.SOL() + " SOL: there is nothing to send beside the network's fee"
	}
	return &own
}

// Channels implements api.Spending.
func (p *Purse) Channels(context.Context) ([]api.Channel, error) {
	c, err := p.Role()
	if err != nil {
		return nil, err
	}
	out := []api.Channel{}
	for _, v := range c.Channels() {
		out = append(out, Channel(v))
	}
	return out, nil
}

var phases = map[escrow.Phase]string{
	escrow.PhaseOpening: "opening", escrow.PhaseSeen: "open", escrow.PhaseOpen: "open", escrow.PhaseClosing: "closing",
	escrow.PhaseReleasing: "releasing",
	escrow.PhaseSealed:    "paid-out", escrow.PhaseGone: "gone", escrow.PhaseLost: "lost",
}

// Channel is a channel's document.
func Channel(v purse.View) api.Channel {
	a := v.Account
	ch := api.Channel{
		Schema: "gpuai.channel/v1", Address: v.ID.String(), Provider: v.Provider.String(), State: phases[a.Phase],
		Deposit: api.SOL(a.Seen),
		Paid:    api.SOL(a.PaidSum()), Returned: api.SOL(v.Returned), OpenedAt: rest.At(v.Opened),
	}
	if a.Phase == escrow.PhaseSealed || a.Phase == escrow.PhaseGone {
		ch.Paid = api.SOL(v.Paid)
	}
	if v.Owes > 0 {
		w := api.SOL(v.Owes)
		ch.Waits = &w
	}
	if v.Trouble != nil {
		ch.Trouble = troubleText(v.Trouble)
	}
	if a.Phase == escrow.PhaseClosing && a.Deadline > 0 {
		t := rest.At(time.Unix(a.Deadline, 0))
		ch.ClosesAt = &t
	}
	return ch
}

// troubleText is why a step failed, without what was being done.
func troubleText(err error) string {
	var e *market.Error
	if errors.As(err, &e) && e.Detail != "" {
		return e.Detail
	}
	return err.Error()
}

// CloseChannel implements api.Spending. A close that the provider does not consent to has begun, and says when it ends.
func (p *Purse) CloseChannel(ctx context.Context, addr string) (api.Channel, error) {
	c, err := p.Role()
	if err != nil {
		return api.Channel{}, err
	}
	a, err := market.ParseAddress(addr)
	if err != nil {
		return api.Channel{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "close channel",
			Detail: "this is no address", Err: err, Hint: "gpuai channel list"}
	}
	id := market.ChannelID(a)
	if err := c.GiveUp(ctx, id); err != nil {
		return api.Channel{}, err
	}
	if err := c.CloseChannel(ctx, id); err != nil {
		return api.Channel{}, err
	}
	if v, ok := c.Channel(id); ok {
		return Channel(v), nil
	}
	return api.Channel{}, &market.Error{Code: market.CodeNotFound, Kind: market.KindNotFound, Op: "close channel",
		Detail: "no channel of this node has that address", Hint: "gpuai channel list"}
}
