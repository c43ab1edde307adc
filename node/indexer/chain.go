package indexer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/escrow/program"
	"github.com/gpuai/gpuai/escrow/solana"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/rows"
)

// Chain is what an indexer reads of a ledger, at finality.
type Chain interface {
	// Slot is the newest that is final.
	Slot(ctx context.Context) (uint64, error)
	// Signatures of the program's transactions between two, newest first, at most solana.PageOfSignatures.
	Signatures(ctx context.Context, before, after string) ([]string, error)
	// Transaction reads one. Error: solana.ErrNotShown: try again.
	Transaction(ctx context.Context, sig string) (solana.Landed, error)
	// Channels reads accounts; an absent one is gone.
	Channels(ctx context.Context, ids []market.ChannelID, t escrow.Trust) ([]escrow.ChannelState, error)
	// Program reads the escrow program, whose committed form has so many bytes.
	Program(ctx context.Context, size int) (solana.Deployed, error)
}

const (
	rereadEvery = 10 * time.Minute // all channels; a difference that no instruction told is warned of
	perRound    = 1000             // transactions in one change: each change writes anew the pages that it touches
	perRead     = 100              // channels in one read
	maxAhead    = 1_000_000        // signatures that wait, from the first start on
	metaChain   = "chain"          // the newest signature that is in the index
)

// follow reads the ledger until ctx ends: each transaction once, in the order of the chain.
func (x *Indexer) follow(ctx context.Context) error {
	reread := time.Now().Add(rereadEvery)
	var looked time.Time // at the program
	for {
		err := x.catchUp(ctx)
		if err == nil && time.Now().After(looked) {
			looked = time.Now().Add(rereadEvery)
			err = x.readProgram(ctx)
		}
		if err == nil && time.Now().After(reread) {
			reread = time.Now().Add(rereadEvery)
			err = x.reread(ctx)
		}
		if err != nil && ctx.Err() == nil {
			x.log.Warn("Chain was not read", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(x.cfg.ChainEvery):
		}
	}
}

// readProgram keeps what the ledger says of the escrow program. One that cannot be read is not known from then on.
func (x *Indexer) readProgram(ctx context.Context) error {
	d, err := x.chain.Program(ctx, len(program.ELF))
	text := ""
	switch {
	case err == nil:
		row := db.Program{Hash: hex.EncodeToString(d.Hash[:]), Authority: "-"}
		if row.Slot, err = db.Amount(d.Slot); err != nil {
			return err
		}
		if d.Authority != (market.Address{}) {
			row.Authority = d.Authority.String()
		}
		text = row.String()
	case !errors.Is(err, escrow.ErrMalformed):
		return err
	}
	_, applyErr := x.work.apply(ctx, x.index, db.Change{Meta: map[string]string{db.MetaProgram: text}})
	return errors.Join(err, applyErr)
}

// catchUp reads what has come since the last transaction in the index.
func (x *Indexer) catchUp(ctx context.Context) error {
	caughtUp, err := x.work.lookAt(ctx, x.chain)
	if err != nil {
		return err
	}
	last, err := x.index.Meta(ctx, metaChain)
	if err != nil {
		return err
	}
	var sigs []string // newest first
	for before := ""; len(sigs) < maxAhead; before = sigs[len(sigs)-1] {
		page, err := x.chain.Signatures(ctx, before, last)
		if err != nil {
			return err
		}
		sigs = append(sigs, page...)
		if len(page) < solana.PageOfSignatures {
			break
		}
	}
	for len(sigs) > 0 {
		n := min(len(sigs), perRound)
		round := sigs[len(sigs)-n:]
		sigs = sigs[:len(sigs)-n]
		if err := x.readRound(ctx, round); err != nil {
			return err
		}
	}
	caughtUp()
	return x.checkpoint(ctx)
}

// checkpoint makes the digests that can be made: all up to the newest instruction was read.
func (x *Indexer) checkpoint(ctx context.Context) error {
	slot, err := x.index.Checkpoint(ctx)
	if err != nil || slot == 0 {
		return err
	}
	c := db.Change{}
	if c.Digests, err = x.index.Digest(ctx, slot); err == nil {
		_, err = x.work.apply(ctx, x.index, c)
	}
	return err
}

// readRound reads transactions, newest first, and the channels that they name, and writes both with the place that was
// come to. What was read before one that cannot be is kept.
func (x *Indexer) readRound(ctx context.Context, sigs []string) (failed error) {
	c := db.Change{}
	var ids []market.ChannelID
	seen := map[market.ChannelID]bool{}
	told := map[string]db.Channel{}
	for i := len(sigs) - 1; i >= 0; i-- {
		landed, err := x.chain.Transaction(ctx, sigs[i])
		if err != nil {
			failed, sigs = err, sigs[i+1:]
			break
		}
		txs, named, err := rowsOf(landed)
		x.refuse(err)
		c.Txs = append(c.Txs, txs...)
		for j, t := range txs {
			if t.Result == db.TxOK {
				told[t.Channel] = rows.Told(told[t.Channel], t, landed.Calls[j])
			}
		}
		for _, id := range named {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	if len(sigs) == 0 {
		return failed
	}
	c.Meta = map[string]string{metaChain: sigs[0]}
	var err error
	if c.Channels, err = x.channels(ctx, ids); err != nil {
		return errors.Join(failed, err)
	}
	for i, row := range c.Channels {
		if row.Status == int64(escrow.StatusGone) { // its account says nothing any more
			was := told[row.ID]
			was.ID, was.Status, was.Slot = row.ID, row.Status, row.Slot
			c.Channels[i] = was
		}
	}
	_, err = x.work.apply(ctx, x.index, c)
	return errors.Join(failed, err)
}

// refuse counts what does not fit.
func (x *Indexer) refuse(err error) {
	if err == nil {
		return
	}
	x.log.Warn("A figure of the chain was left out", "error", err)
	x.mu.Lock()
	x.refused++
	x.mu.Unlock()
	x.poke()
}

// rowsOf are the instructions of a transaction, and the channels that they name. A failed one settles nothing and names
// none. Error: amounts that no column holds, which are left out.
func rowsOf(l solana.Landed) (txs []db.Tx, named []market.ChannelID, err error) {
	slot, err := db.Amount(l.Slot)
	base := db.Tx{Sig: l.Signature, Outer: -1, Inner: -1, Slot: slot, At: l.At.UnixMilli(), Result: db.TxOK}
	if l.Unread || err != nil {
		base.Result = db.TxUnread
		return []db.Tx{base}, nil, err
	}
	if l.Failed {
		base.Result = db.TxFailed
	}
	for _, call := range l.Calls {
		t := base
		t.Outer, t.Inner = int64(call.Outer), int64(call.Inner)
		amount, fault := read(&t, call)
		if t.Amount, fault = fits(amount, fault); fault != nil && !l.Failed {
			err = errors.Join(err, fmt.Errorf("%s: %w", l.Signature, fault))
		}
		if id, parseErr := market.ParseAddress(t.Channel); parseErr == nil && t.Result == db.TxOK {
			named = append(named, market.ChannelID(id))
		}
		txs = append(txs, t)
	}
	return txs, named, err
}

func fits(a market.Amount, fault error) (int64, error) {
	if fault != nil {
		return 0, fault
	}
	return db.Amount(a)
}

// read takes from a call what the table of the program says it is. One of another form stays "not read".
func read(t *db.Tx, call solana.Call) (amount market.Amount, err error) {
	if len(call.Data) == 0 {
		t.Result = db.TxUnread
		return 0, nil
	}
	form, known := escrow.Calls[call.Data[0]]
	if !known || len(call.Data) != form.DataLen || len(call.Accounts) != len(form.Accounts) {
		t.Result = db.TxUnread
		return 0, nil
	}
	t.Name = form.Name
	for i, a := range form.Accounts {
		switch {
		case a.Name == "channel":
			t.Channel = call.Accounts[i].String()
		case a.Signer:
			t.Authority = call.Accounts[i].String()
		}
	}
	switch call.Data[0] {
	case escrow.TagOpen:
		d, err := escrow.DecodeOpenData(call.Data)
		return d.Deposit, err
	case escrow.TagTopUp:
		d, err := escrow.DecodeTopUpData(call.Data)
		return d.Total, err
	case escrow.TagClaim, escrow.TagRecord, escrow.TagRelease:
		return escrow.MessageAmount(call.Signed)
	}
	return 0, nil
}

// channels reads accounts as rows; one with an amount that no column holds is left out and counted.
func (x *Indexer) channels(ctx context.Context, ids []market.ChannelID) (out []db.Channel, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	states, err := x.chain.Channels(ctx, ids, escrow.Finalised)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		row, err := rows.Channel(s)
		x.refuse(err)
		if err == nil {
			out = append(out, row)
		}
	}
	return out, nil
}

// reread compares all channels that are not gone with their accounts.
func (x *Indexer) reread(ctx context.Context) error {
	after := ""
	for {
		names, err := x.index.OpenChannels(ctx, after, perRead)
		if err != nil || len(names) == 0 {
			return err
		}
		after = names[len(names)-1]
		var ids []market.ChannelID
		for _, n := range names {
			if id, err := market.ParseAddress(n); err == nil {
				ids = append(ids, market.ChannelID(id))
			}
		}
		rows, err := x.channels(ctx, ids)
		if err != nil {
			return err
		}
		a, err := x.work.apply(ctx, x.index, db.Change{Channels: rows})
		if err != nil {
			return err
		}
		if a.Channels > 0 {
			x.log.Warn("Channels were not as their instructions said, and are now", "channels", a.Channels)
		}
	}
}
