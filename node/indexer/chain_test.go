package indexer

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
)

// book is a Chain that says what a test wrote.
type book struct {
	landed   []solana.Landed // oldest first
	channels map[market.ChannelID]escrow.ChannelState
	hidden   string // a signature that is told and not shown
	asked    int    // transactions
	program  solana.Deployed
	noProg   error
	slot     uint64
	noSlot   error
}

func (b *book) Program(context.Context, int) (solana.Deployed, error) { return b.program, b.noProg }

func (b *book) Slot(context.Context) (uint64, error) { return b.slot, b.noSlot }

func (b *book) Signatures(_ context.Context, before, after string) (out []string, err error) {
	from := len(b.landed)
	if before != "" {
		from = slices.IndexFunc(b.landed, func(l solana.Landed) bool { return l.Signature == before })
	}
	for i := from - 1; i >= 0 && len(out) < solana.PageOfSignatures && b.landed[i].Signature != after; i-- {
		out = append(out, b.landed[i].Signature)
	}
	return out, nil
}

func (b *book) Transaction(_ context.Context, sig string) (solana.Landed, error) {
	b.asked++
	i := slices.IndexFunc(b.landed, func(l solana.Landed) bool { return l.Signature == sig })
	if sig == b.hidden {
		return solana.Landed{}, solana.ErrNotShown
	}
	return b.landed[i], nil
}

func (b *book) Channels(_ context.Context, ids []market.ChannelID, t escrow.Trust) (out []escrow.ChannelState,
	err error) {
	if t != escrow.Finalised {
		return nil, fmt.Errorf("asked at %d", t)
	}
	for _, id := range ids {
		s, ok := b.channels[id]
		if !ok {
			s.Status, s.Slot = escrow.StatusGone, 900
		}
		s.ID = id
		out = append(out, s)
	}
	return out, nil
}

// opening is a transaction that opens a channel, through another program if inner is not -1.
func opening(n, inner int, id market.ChannelID, deposit market.Amount) solana.Landed {
	return solana.Landed{Signature: fmt.Sprintf("sig%05d", n), Slot: uint64(n), At: time.Unix(int64(n), 0),
		Calls: []solana.Call{{Outer: 1, Inner: inner, Data: escrow.OpenData{Deposit: deposit}.Encode(),
			Accounts: []market.Address{{1}, {2}, market.Address(id), {}}}}}
}

func follower(t *testing.T, b *book) *Indexer {
	t.Helper()
	x, err := New(t.Context(), Config{Network: network, Genesis: "g", Store: filepath.Join(t.TempDir(), "index.db")},
		&phone{}, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// TestFollow_EachOnce: over a thousand transactions come in once each, also when they are read again; failed ones
// settle nothing, unknown ones are kept as not read and stop nobody.
func TestFollow_EachOnce(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Deposit: 70, Payer: market.Address{1},
		Payee: market.Address{2}, Slot: 9000}}}
	for n := range 2500 {
		l := opening(n+1, n%3-1, id, 70)
		switch {
		case n == 7:
			l.Failed = true
		case n == 8:
			l.Unread, l.Calls = true, nil
		case n == 9:
			l.Calls[0].Data = []byte{99}
		}
		b.landed = append(b.landed, l)
	}
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := x.catchUp(t.Context()); err != nil || b.asked != 2500 {
		t.Errorf("%v: %d transactions were asked for", err, b.asked)
	}
	txs, err := x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 5000)
	if err != nil || len(txs) != 2498 {
		t.Fatalf("%v: %d instructions of the channel", err, len(txs))
	}
	if f := txs[7]; f.Result != db.TxFailed || f.Slot != 8 || txs[0].Inner != -1 || txs[1].Inner != 0 ||
		txs[1].Amount != 70 {
		t.Errorf("%+v, %+v", f, txs[1])
	}
	unread, err := x.index.Txs(t.Context(), "", db.Tx{Inner: -2, Outer: -2}, 10)
	if err != nil || len(unread) != 2 || unread[0].Result != db.TxUnread || unread[1].Result != db.TxUnread {
		t.Errorf("%v: not read: %+v", err, unread)
	}
	c, err := x.index.Channel(t.Context(), id.String())
	if err != nil || c.Deposit != 70 || c.MovedAt != 2_500_000 || c.Mint == "" {
		t.Errorf("%v: %+v", err, c)
	}
	// the place is lost: all is read again, and nothing is doubled
	if _, err := x.index.Apply(t.Context(), time.Now(), db.Change{Meta: map[string]string{metaChain: ""}}); err != nil {
		t.Fatal(err)
	}
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 5000); err != nil ||
		len(again) != len(txs) {
		t.Errorf("%v: %d instructions after a second reading", err, len(again))
	}
}

// TestFollow_NotShown_Waits: a transaction that an endpoint tells and does not show is not passed over.
func TestFollow_NotShown_Waits(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	b := &book{hidden: "sig00002", channels: map[market.ChannelID]escrow.ChannelState{id: {Slot: 9}}}
	for n := range 3 {
		b.landed = append(b.landed, opening(n+1, -1, id, 1))
	}
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err == nil {
		t.Error("it went on")
	}
	b.hidden = ""
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if txs, err := x.index.Txs(t.Context(), id.String(), db.Tx{Inner: -2}, 9); err != nil || len(txs) != 3 {
		t.Errorf("%v: %d instructions", err, len(txs))
	}
}

// TestFollow_TooLarge_IsRefusedAndCounted: an amount over 2^63-1 is in no row, and in the count.
func TestFollow_TooLarge_IsRefusedAndCounted(t *testing.T) {
	t.Parallel()
	id, good := market.ChannelID{5}, market.ChannelID{6}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Deposit: math.MaxInt64 + 1, Slot: 9},
		good: {Deposit: math.MaxInt64, Slot: 9}}}
	b.landed = append(b.landed, opening(1, -1, id, math.MaxInt64+1), opening(2, -1, good, math.MaxInt64))
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.index.Channel(t.Context(), id.String()); market.CodeOf(err) != market.CodeNotFound {
		t.Errorf("%v", err)
	}
	if c, err := x.index.Channel(t.Context(), good.String()); err != nil || c.Deposit != math.MaxInt64 {
		t.Errorf("%v: %+v", err, c)
	}
	if x.refused != 2 {
		t.Errorf("%d are counted", x.refused)
	}
}

// TestReread_FindsWhatNobodyTold: an account that has changed without an instruction that was read is put right.
func TestReread_FindsWhatNobodyTold(t *testing.T) {
	t.Parallel()
	a, z := market.ChannelID{5}, market.ChannelID{6}
	b := &book{channels: map[market.ChannelID]escrow.ChannelState{a: {Deposit: 5, Slot: 9}, z: {Deposit: 6, Slot: 9}}}
	b.landed = append(b.landed, opening(1, -1, a, 5), opening(2, -1, z, 6))
	x := follower(t, b)
	if err := x.catchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.channels[a] = escrow.ChannelState{Deposit: 5, Settled: 3, Slot: 20}
	delete(b.channels, z)
	if err := x.reread(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := x.index.Channel(t.Context(), a.String()); err != nil || c.Settled != 3 {
		t.Errorf("%v: %+v", err, c)
	}
	if c, err := x.index.Channel(t.Context(), z.String()); err != nil || c.Status != 255 || c.Deposit != 6 {
		t.Errorf("%v: %+v", err, c)
	}
	if open, err := x.index.OpenChannels(t.Context(), "", 9); err != nil || len(open) != 1 {
		t.Errorf("%v: open are %v", err, open)
	}
}

// TestDigest_TwoAgree: one index that was built at once and one that was built bit by bit, with what was read twice,
// have equal digests; one that left an instruction out, or tells another amount, has not.
func TestDigest_TwoAgree(t *testing.T) {
	t.Parallel()
	id := market.ChannelID{5}
	history := func(change func(n int, l *solana.Landed) bool) *book {
		b := &book{channels: map[market.ChannelID]escrow.ChannelState{id: {Slot: 9}}}
		for n := range 300 {
			l := opening(n+1, n%2-1, id, market.Amount(n))
			l.Slot = uint64(1 + n*100)
			if change == nil || change(n, &l) {
				b.landed = append(b.landed, l)
			}
		}
		return b
	}
	digests := func(b *book, steps int) []db.Digest {
		t.Helper()
		x, all := follower(t, b), b.landed
		for i := range steps {
			b.landed = all[:len(all)*(i+1)/steps]
			if _, err := x.index.Apply(t.Context(), time.Now(),
				db.Change{Meta: map[string]string{metaChain: ""}}); err != nil {
				t.Fatal(err)
			}
			if err := x.catchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got, err := x.index.Digests(t.Context(), db.WhatTxs, 1<<40)
		if err != nil || len(got) != 256 || got[0].Slot != db.CheckpointEvery {
			t.Fatalf("%v: %d digests", err, len(got))
		}
		return got
	}
	want := digests(history(nil), 1)
	if got := digests(history(nil), 4); !slices.Equal(got, want) {
		t.Error("bit by bit another digest")
	}
	differ := func(b *book) (n int) {
		for i, g := range digests(b, 1) {
			if g != want[i] {
				n++
			}
		}
		return n
	}
	if n := differ(history(func(n int, _ *solana.Landed) bool { return n != 50 })); n != 1 {
		t.Errorf("an instruction is left out: %d parts differ", n)
	}
	if n := differ(history(func(n int, l *solana.Landed) bool {
		if n == 60 {
			l.Calls[0].Data = escrow.OpenData{Deposit: 1}.Encode()
		}
		return true
	})); n != 1 {
		t.Errorf("a forged amount: %d parts differ", n)
	}
	if n := differ(history(func(n int, _ *solana.Landed) bool { return n != 250 })); n != 0 {
		t.Errorf("what came after the checkpoint: %d parts differ", n)
	}
}
