package api

import (
	"context"
	"net/http"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

// spending are the routes of Spending.
type spending struct {
	b   Spending
	ops *rest.Operations
}

type channelList struct {
	Schema   string    `json:"schema"`
	Channels []Channel `json:"channels"`
	Cursor   string    `json:"cursor,omitempty"`
}

func (s *spending) routes() []rest.Route {
	return []rest.Route{
		rest.Get("/channels", "channels", "own payment channels", s.channels),
		rest.Get("/channels/{addr}", "channel", "one of them", s.channel).Fails(market.CodeNotFound),
		rest.Get("/wallet", "wallet", "the spending account", s.wallet).Fails(market.CodeNotFound),
		rest.Call("POST", "/wallet", "walletNew", "make the account, or show it", s.make).In(rest.ScopeMoney).Creates().
			Fails(market.CodeNotFound),
		rest.Begin("/wallet/airdrop", "airdrop", "`{\"amount\": \"1000000000\"}`, localnet and devnet", s.airdrop).
			In(rest.ScopeMoney).Creates().Asks(`{"amount": "1000000000"}`),
		rest.Begin("/wallet/withdraw", "withdraw", "`{\"to\": ADDRESS, \"amount\": \"5\"}` or `\"all\": true`",
			s.withdraw).
			In(rest.ScopeMoney).Creates().
			Asks(`{"to": "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", "amount": "500000000"}`),
		rest.Begin("/channels/{addr}/close", "closeChannel",
			"at once with the provider's Release, else after `close_delay`", s.close).In(rest.ScopeMoney).
			Fails(market.CodeNotFound),
	}
}

func (s *spending) channels(ctx context.Context, in *rest.Paging) (out channelList, err error) {
	l, err := s.b.Channels(ctx)
	if err != nil {
		return out, err
	}
	l, cursor, err := rest.Page(*in, l, func(c Channel) string { return byAge(c.OpenedAt, c.Address) })
	return channelList{"gpuai.channels/v1", l, cursor}, err
}

func (s *spending) channel(ctx context.Context, in *ByAddr) (Channel, error) {
	l, err := s.b.Channels(ctx)
	if err != nil {
		return Channel{}, err
	}
	for _, c := range l {
		if c.Address == in.Addr {
			return c, nil
		}
	}
	return Channel{}, missingChannel()
}

func (s *spending) wallet(ctx context.Context, _ *none) (Wallet, error) { return s.b.Wallet(ctx) }

func (s *spending) make(ctx context.Context, _ *Empty) (Wallet, error) { return s.b.WalletNew(ctx) }

// amountBody carries money of a request, in lamports.
type amountBody struct {
	To     string   `json:"to,omitempty"`
	Amount Lamports `json:"amount" required:"false"`
	All    bool     `json:"all,omitempty"`
}

type amountIn struct{ Body amountBody }

func (s *spending) airdrop(ctx context.Context, in *amountIn) (rest.Operation, error) {
	if b := in.Body; b.Amount == 0 || b.To != "" || b.All {
		return rest.Operation{},
			rest.Usage(http.StatusBadRequest, "an airdrop has an amount of lamports and nothing else")
	}
	return s.ops.Begin(ctx, rest.OperationID(rest.Key(ctx)), "airdrop",
		func(ctx context.Context) (any, error) { return s.b.Airdrop(ctx, market.Amount(in.Body.Amount)) }), nil
}

func (s *spending) withdraw(ctx context.Context, in *amountIn) (rest.Operation, error) {
	b := in.Body
	if _, err := market.ParseAddress(b.To); err != nil || (b.Amount == 0) != b.All {
		return rest.Operation{}, rest.Usage(http.StatusBadRequest,
			"a withdrawal has an address, and either an amount of lamports or all")
	}
	w := Withdrawal{Key: rest.Key(ctx), To: b.To, Amount: market.Amount(b.Amount), All: b.All}
	return s.ops.Begin(ctx, rest.OperationID(w.Key), "withdraw",
		func(ctx context.Context) (any, error) { return s.b.Withdraw(ctx, w) }), nil
}

type closeIn struct {
	ByAddr
	Empty
}

// close begins a close; what is wrong at once is told at once.
func (s *spending) close(ctx context.Context, in *closeIn) (rest.Operation, error) {
	if _, err := s.channel(ctx, &in.ByAddr); err != nil {
		return rest.Operation{}, err
	}
	return s.ops.Begin(ctx, rest.OperationID("close "+in.Addr), "close",
		func(ctx context.Context) (any, error) { return s.b.CloseChannel(ctx, in.Addr) }), nil
}
