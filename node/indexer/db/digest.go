package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// WhatTxs names the digests over instructions. Those up to a slot never change, so two indexes that have read them all
// agree byte by byte; accounts go on changing and are compared at the chain itself.
const WhatTxs = "chain_tx"

// CheckpointEvery is how many slots are between two digests.
const CheckpointEvery = 18_000

// parts of a digest: by the first byte of the signature's SHA-256.
const parts = 256

// Checkpoint is the newest slot up to which digests can be made and are not yet; 0: none. All up to the newest
// instruction must have been read.
func (d *Reads) Checkpoint(ctx context.Context) (slot int64, err error) {
	var newest, has int64
	err = d.read.QueryRowContext(ctx, `SELECT (SELECT COALESCE(MAX(slot), 0) FROM chain_tx),
		(SELECT COALESCE(MAX(slot), 0) FROM digests WHERE what = $1)`, WhatTxs).Scan(&newest, &has)
	if slot = (newest - 1) / CheckpointEvery * CheckpointEvery; err != nil || slot <= has {
		return 0, err
	}
	return slot, nil
}

// Digest makes the digests over all instructions up to a slot. The text of a row: its columns with tabs between.
func (d *Reads) Digest(ctx context.Context, slot int64) ([]Digest, error) {
	sums, counts := make([]hash.Hash, parts), make([]int64, parts)
	for i := range sums {
		sums[i] = sha256.New()
	}
	err := scan(ctx, d.read, func(s scanner) error {
		t, err := scanTx(s)
		if err != nil {
			return err
		}
		part := sha256.Sum256([]byte(t.Sig))[0]
		counts[part]++
		fmt.Fprintf(sums[part], "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%d\n", t.Sig, t.Outer, t.Inner, t.Slot, t.At,
			t.Result,
			t.Name, t.Channel, t.Authority, t.Amount)
		return nil
	}, "SELECT "+txColumns+" FROM chain_tx WHERE slot <= $1 ORDER BY sig, outer_ix, inner_ix", slot)
	if err != nil {
		return nil, err
	}
	out := make([]Digest, parts)
	for i := range out {
		out[i] = Digest{Slot: slot, What: WhatTxs, Part: int64(i), N: counts[i],
			Hash: hex.EncodeToString(sums[i].Sum(nil))}
	}
	return out, nil
}

// scanned rows of a page of Part at most: a 256th of them is in it.
const scanned = 5_000

// Part are instructions up to a slot that a part of its digest is made of, after a signature, in order. next is where
// to go on, "": there are no more.
func (d *Reads) Part(ctx context.Context, slot, part int64, after string) (out []Tx, next string, err error) {
	rows, err := list(ctx, d, scanTx, "SELECT "+txColumns+" FROM chain_tx WHERE slot <= $1 AND sig > $2 "+
		"ORDER BY sig, outer_ix, inner_ix LIMIT $3", slot, after, scanned)
	if err != nil {
		return nil, "", err
	}
	if len(rows) == scanned { // the last transaction may be cut: it comes with the next page
		last := rows[scanned-1].Sig
		for len(rows) > 0 && rows[len(rows)-1].Sig == last {
			rows = rows[:len(rows)-1]
		}
		if len(rows) > 0 {
			next = rows[len(rows)-1].Sig
		}
	}
	for _, t := range rows {
		if int64(sha256.Sum256([]byte(t.Sig))[0]) == part {
			out = append(out, t)
		}
	}
	return out, next, nil
}
