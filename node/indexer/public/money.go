package public

import (
	"context"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/rest"
)

// money are the routes of the chain.
func (p pages) money() []rest.Route {
	return []rest.Route{
		rest.GetCached("/channels/{addr}", "channel", "one channel, and its instructions", p.channel, "chain").
			Fails(market.CodeNotFound),
		rest.GetCached("/wallets/{addr}", "wallet", "the channels that an address pays, or is paid by", p.wallet,
			"chain"),
		rest.GetCached("/escrow", "escrow", "the program, and what it holds", p.escrow, "sums"),
		rest.GetCached("/digest", "digest", "hashes over all instructions up to a slot, to compare two indexers",
			p.digest,
			"chain").Fails(market.CodeNotFound),
		rest.GetCached("/digest/rows", "digestRows", "the instructions that one part of a digest is made of",
			p.digestRows,
			"chain"),
	}
}

// statuses are the words of an account's status.
var statuses = map[int64]string{int64(escrow.StatusOpen): "open", int64(escrow.StatusClosing): "closing",
	int64(escrow.StatusSealed): "sealed", int64(escrow.StatusGone): "gone"}

func channelOf(c db.Channel) Channel {
	of := func(v int64) api.Money {
		m := moneyOf(c.Mint, v)
		m.Decimals = int(c.Decimals)
		return m
	}
	storage := c.Lamports
	if c.Mint == SOLMint {
		storage = max(storage-(c.Deposit-c.Paid-c.Refunded), 0)
	}
	held, _ := money(SOLMint, strconv.FormatInt(storage, 10))
	out := Channel{Channel: c.ID, Status: statuses[c.Status], Payer: c.Payer, Payee: c.Payee, Deposit: of(c.Deposit),
		Settled: of(c.Settled), Paid: of(c.Paid), Refunded: of(c.Refunded), Storage: held,
		OpenedAt:   at(c.OpenedAt * 1000),
		CloseDelay: c.CloseDelay, MovedAt: at(c.MovedAt), Origin: Origin{Src: db.Chain, AsOf: AsOf{Slot: c.Slot}, N: 1}}
	if most := int64(1) << 38; c.Deadline > 0 && c.Deadline < most { // an absurd one is no time
		out.Deadline = rest.At(time.Unix(c.Deadline, 0))
	}
	return out
}

type byAddr struct {
	rest.Paging
	Addr string `path:"addr" doc:"base58" example:"9aF5Tq1vbmgnJ5pYbDzCkLFqUvoeH9wqPv6JcgkGuQbe"`
}

func (p pages) channel(ctx context.Context, in *byAddr) (out ChannelPage, err error) {
	if _, err := market.ParseAddress(in.Addr); err != nil {
		return out, missing("channel")
	}
	from, err := resumeTx(in.Paging)
	if err != nil {
		return out, err
	}
	c, err := p.Index.Channel(ctx, in.Addr)
	if err != nil {
		return out, err
	}
	txs, err := p.Index.Txs(ctx, in.Addr, from, in.Limit+1)
	out = ChannelPage{Schema: "gpuai.public-channel/v1", Channel: channelOf(c), Instructions: []Instruction{}}
	if len(txs) > in.Limit {
		txs = txs[:in.Limit]
		t := txs[in.Limit-1]
		out.Cursor = rest.Cursor(fmt.Sprintf("%d %s %d %d", t.Slot, t.Sig, t.Outer, t.Inner))
	}
	for _, t := range txs {
		out.Instructions = append(out.Instructions, instructionOf(t, c.Mint))
	}
	return out, err
}

func instructionOf(t db.Tx, mint string) Instruction {
	i := Instruction{Signature: t.Sig, Outer: t.Outer, Inner: t.Inner, Slot: t.Slot, At: at(t.At), Result: t.Result,
		Name: t.Name, Authority: t.Authority}
	switch amount, _ := money(mint, strconv.FormatInt(t.Amount, 10)); { // of another mint it is not shown
	case t.Amount == 0:
	case t.Name == "open" || t.Name == "top_up":
		i.Deposit = amount
	default:
		i.Settled = amount
	}
	return i
}

// resumeTx is the instruction that the page before ended with.
func resumeTx(p rest.Paging) (t db.Tx, err error) {
	t.Inner = -2 // before all
	after, err := p.From()
	if err != nil || after == "" {
		return t, err
	}
	parts := strings.Split(after, " ")
	if len(parts) != 4 || !plain(after) {
		return t, badCursor()
	}
	var ok, ok2, ok3 bool
	t.Sig = parts[1]
	t.Slot, ok = number(parts[0])
	t.Outer, ok2 = number(parts[2])
	t.Inner, ok3 = number(parts[3])
	if !ok || !ok2 || !ok3 {
		return t, badCursor()
	}
	return t, nil
}

func (p pages) wallet(ctx context.Context, in *byAddr) (out Channels, err error) {
	out = Channels{Schema: "gpuai.public-wallet/v1", Wallet: in.Addr, Sums: []WalletSum{},
		Channels: []Channel{}}
	after, err := in.From()
	if err == nil && !plain(after) {
		err = badCursor()
	}
	if err != nil {
		return out, err
	}
	if _, err := market.ParseAddress(in.Addr); err != nil {
		return out, rest.Usage(400, "addr is no Solana address")
	}
	list, err := p.Index.Channels(ctx, in.Addr, after, in.Limit+1)
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.Cursor = rest.Cursor(list[in.Limit-1].ID)
	}
	for _, c := range list {
		out.Channels = append(out.Channels, channelOf(c))
	}
	if err != nil {
		return out, err
	}
	sums, err := p.Index.WalletSums(ctx, in.Addr)
	for _, s := range sums {
		out.Sums = append(out.Sums, walletSum(s))
	}
	return out, err
}

type digestIn struct {
	Slot int64 `query:"slot" minimum:"1" doc:"the newest checkpoint not above it; none: the newest"`
}

func (p pages) digest(ctx context.Context, in *digestIn) (out Digest, err error) {
	slot := in.Slot
	if slot == 0 {
		slot = 1<<62 - 1
	}
	list, err := p.Index.Digests(ctx, db.WhatTxs, slot)
	if err == nil && len(list) == 0 {
		err = missing("checkpoint")
	}
	if err != nil {
		return out, err
	}
	out = Digest{Schema: "gpuai.public-digest/v1", Every: db.CheckpointEvery,
		Origin: Origin{Src: db.Chain, AsOf: AsOf{Slot: list[0].Slot}}}
	for _, g := range list {
		out.N += g.N
		out.Parts = append(out.Parts, DigestPart{g.Part, g.N, g.Hash})
	}
	return out, nil
}

type digestRowsIn struct {
	Slot   int64  `query:"slot" required:"true" minimum:"1" doc:"of the digest"`
	Part   int64  `query:"part" minimum:"0" maximum:"255" doc:"which part"`
	Cursor string `query:"cursor" maxLength:"200" doc:"where the page before ended, as it said"`
}

func (p pages) digestRows(ctx context.Context, in *digestRowsIn) (out DigestRows, err error) {
	after, err := rest.Paging{Cursor: in.Cursor}.From()
	if err == nil && !plain(after) {
		err = badCursor()
	}
	if err != nil {
		return out, err
	}
	rows, next, err := p.Index.Part(ctx, in.Slot, in.Part, after)
	out = DigestRows{Schema: "gpuai.public-digest-rows/v1", Rows: []DigestRow{}}
	for _, t := range rows {
		out.Rows = append(out.Rows, DigestRow{t.Sig, t.Outer, t.Inner, t.Slot, t.At, t.Result, t.Name, t.Channel,
			t.Authority, strconv.FormatInt(t.Amount, 10)})
	}
	if next != "" {
		out.Cursor = rest.Cursor(next)
	}
	return out, err
}

func (p pages) escrow(ctx context.Context, _ *none) (Escrow, error) {
	out := Escrow{Schema: "gpuai.public-escrow/v1", Program: program.ID.String(), Hash: program.Hash(),
		Locked: []EscrowSum{}, Channels: []StatusCount{}}
	on, known, err := p.Index.Program(ctx)
	if err != nil {
		return out, err
	}
	if known {
		out.Deployed = &Deployed{Hash: on.Hash, Same: on.Hash == out.Hash,
			Authority: strings.TrimPrefix(on.Authority, "-"),
			Origin:    Origin{Src: db.Chain, AsOf: AsOf{Slot: on.Slot}, N: 1}}
	}
	locked, counts := map[string]*EscrowSum{}, map[int64]*Count{}
	sums := map[string]*big.Int{}
	for _, l := range p.Index.Market().Locked {
		if counts[l.Status] == nil {
			counts[l.Status] = &Count{Origin: Origin{Src: db.Chain}}
		}
		n := counts[l.Status]
		n.Value += l.N
		n.N += l.N
		n.AsOf.Slot = max(n.AsOf.Slot, l.Slot)
		if l.Status == int64(escrow.StatusGone) {
			continue
		}
		if locked[l.Mint] == nil {
			locked[l.Mint], sums[l.Mint] = &EscrowSum{Origin: Origin{Src: db.Chain}}, new(big.Int)
		}
		s := locked[l.Mint]
		sums[l.Mint].Add(sums[l.Mint], new(big.Int).Sub(l.Deposit, l.Out))
		s.N += l.N
		s.AsOf.Slot = max(s.AsOf.Slot, l.Slot)
		s.Value = api.Money{Amount: sums[l.Mint].String(), Mint: l.Mint, Decimals: int(l.Decimals)}
		if m, ok := money(l.Mint, s.Value.Amount); ok {
			s.Value = m
		}
	}
	for _, l := range p.Index.Market().Locked { // in the order of the index
		if s := locked[l.Mint]; s != nil {
			out.Locked = append(out.Locked, *s)
			delete(locked, l.Mint)
		}
		if n := counts[l.Status]; n != nil {
			out.Channels = append(out.Channels, StatusCount{statuses[l.Status], *n})
			delete(counts, l.Status)
		}
	}
	return out, nil
}
