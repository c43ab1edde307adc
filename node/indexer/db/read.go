package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
)

type scanner interface{ Scan(...any) error }

type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// scan calls f for each row.
func scan(ctx context.Context, on querier, f func(scanner) error, q string, args ...any) error {
	rows, err := on.QueryContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("%.60s: %w", q, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%.60s: %w", q, err)
	}
	return nil
}

// Reads are what can be asked of an index.
type Reads struct{ read *sql.DB }

// pageTime is the longest that a page may take: a question that costs more is refused.
const pageTime = 2 * time.Second

// list reads the rows of a page.
func list[T any](ctx context.Context, d *Reads, one func(scanner) (T, error), q string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	out := []T{}
	err := scan(ctx, d.read, func(s scanner) error {
		v, err := one(s)
		out = append(out, v)
		return err
	}, q, args...)
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &market.Error{Code: market.CodeTimeout, Kind: market.KindUnavailable, Op: "read index", Err: err,
			Detail: "the question costs too much", Hint: "ask for one model, or with fewer filters"}
	}
	return out, err
}

// only is the one row of a list. Error: not-found.
func only[T any](rows []T, err error, what string) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	if len(rows) == 0 {
		return none, missing(what)
	}
	return rows[0], nil
}

// Meta is a word that the index keeps, "" if it has none.
func (d *Reads) Meta(ctx context.Context, k string) (v string, err error) {
	err = d.read.QueryRowContext(ctx, "SELECT v FROM meta WHERE k = $1", k).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return v, err
}

const rigColumns = "peer, seq, raw, first_at, last_at, expires_at, live, payout, version, country, devices, free, " +
	"probed_at, reached_at, rtt_us"

func scanRig(s scanner) (r Rig, err error) {
	var live int64
	err = s.Scan(&r.Peer, &r.Seq, &r.Raw, &r.FirstAt, &r.LastAt, &r.ExpiresAt, &live, &r.Payout, &r.Version, &r.Country,
		&r.Devices, &r.Free, &r.ProbedAt, &r.Reached, &r.RTT)
	r.Live = live == 1
	return r, err
}

const lotColumns = "peer, ix, mint, class, name, devices, free, rate, vram, ram, cpu_milli, disk, country, payout, " +
	"reached_at"

func scanLot(s scanner) (l Lot, err error) {
	err = s.Scan(&l.Peer, &l.Ix, &l.Mint, &l.Class, &l.Name, &l.Devices, &l.Free, &l.Rate, &l.VRAM, &l.RAM, &l.CPUMilli,
		&l.Disk, &l.Country, &l.Payout, &l.Reached)
	return l, err
}

const channelColumns = "id, status, payer, payee, mint, decimals, deposit, settled, paid, refunded, deadline, " +
	"close_delay_s, opened_at, open_slot, lamports, slot, moved_at, voucher_key"

func scanChannel(s scanner) (c Channel, err error) {
	err = s.Scan(&c.ID, &c.Status, &c.Payer, &c.Payee, &c.Mint, &c.Decimals, &c.Deposit, &c.Settled, &c.Paid,
		&c.Refunded, &c.Deadline, &c.CloseDelay, &c.OpenedAt, &c.OpenSlot, &c.Lamports, &c.Slot, &c.MovedAt,
		&c.VoucherKey)
	return c, err
}

const txColumns = "sig, outer_ix, inner_ix, slot, at, result, name, channel, authority, amount"

func scanTx(s scanner) (t Tx, err error) {
	err = s.Scan(&t.Sig, &t.Outer, &t.Inner, &t.Slot, &t.At, &t.Result, &t.Name, &t.Channel, &t.Authority, &t.Amount)
	return t, err
}

// Rig is a provider with its lots. Error: not-found.
func (d *Reads) Rig(ctx context.Context, peer string) (Rig, error) {
	all, err := list(ctx, d, scanRig, "SELECT "+rigColumns+" FROM rigs WHERE peer = $1", peer)
	r, err := only(all, err, "provider")
	if err != nil {
		return r, err
	}
	r.Lots, err = list(ctx, d, scanLot, "SELECT "+lotColumns+" FROM lots WHERE peer = $1 ORDER BY ix, mint", peer)
	return r, err
}

// Rigs are providers after a peer, in their order, at most n.
func (d *Reads) Rigs(ctx context.Context, after string, n int) ([]Rig, error) {
	return list(ctx, d, scanRig, "SELECT "+rigColumns+" FROM rigs WHERE peer > $1 ORDER BY peer LIMIT $2", after, n)
}

// Day is what came of the probes of one day.
type Day struct{ Day, Probes, Reached int64 }

// Uptime are the days of a provider since one, counted from 1970.
func (d *Reads) Uptime(ctx context.Context, peer string, since int64) ([]Day, error) {
	return list(ctx, d, func(s scanner) (v Day, err error) {
		err = s.Scan(&v.Day, &v.Probes, &v.Reached)
		return v, err
	}, "SELECT day, probes, reached FROM uptime WHERE peer = $1 AND day >= $2 ORDER BY day", peer, since)
}

// asked is a query that grows by what somebody wants; "?" stands for the next parameter.
type asked struct {
	text string
	args []any
}

func (a *asked) add(text string, values ...any) {
	for _, v := range values {
		a.args = append(a.args, v)
		text = strings.Replace(text, "?", "$"+strconv.Itoa(len(a.args)), 1)
	}
	a.text += text
}

func (a *asked) where(text string, values ...any) { a.add(" AND "+text, values...) }

// LotQuery asks for lots of live rigs by price, the cheapest first; what is zero does not matter. After is where the
// page before ended.
type LotQuery struct {
	Class, Mint, Country      string
	MaxRate, MinFree, MinVRAM int64
	ReachedSince              int64
	AfterRate                 int64
	AfterPeer, AfterMint      string
	AfterIx                   int64
	After                     bool
	Limit                     int
}

// Lots are those that a query asks for.
func (d *Reads) Lots(ctx context.Context, q LotQuery) ([]Lot, error) {
	a := asked{text: "SELECT " + lotColumns + " FROM lots WHERE live = 1 AND rate > 0"}
	for _, c := range []struct {
		use  bool
		text string
		v    any
	}{
		{q.Class != "", "class = ?", q.Class}, {q.Mint != "", "mint = ?", q.Mint},
		{q.Country != "", "country = ?", q.Country}, {q.MaxRate > 0, "rate <= ?", q.MaxRate},
		{q.MinFree > 0, "free >= ?", q.MinFree}, {q.MinVRAM > 0, "vram >= ?", q.MinVRAM},
		{q.ReachedSince > 0, "reached_at >= ?", q.ReachedSince},
	} {
		if c.use {
			a.where(c.text, c.v)
		}
	}
	if q.After {
		a.where("(rate, peer, ix, mint) > (?, ?, ?, ?)", q.AfterRate, q.AfterPeer, q.AfterIx, q.AfterMint)
	}
	a.add(" ORDER BY rate, peer, ix, mint LIMIT ?", q.Limit)
	return list(ctx, d, scanLot, a.text, a.args...)
}

// Channel is one account of the program. Error: not-found.
func (d *Reads) Channel(ctx context.Context, id string) (Channel, error) {
	all, err := list(ctx, d, scanChannel, "SELECT "+channelColumns+" FROM channels WHERE id = $1", id)
	return only(all, err, "channel")
}

// OpenChannels are the ids of those whose account is there, after an id, at most n.
func (d *Reads) OpenChannels(ctx context.Context, after string, n int) ([]string, error) {
	return list(ctx, d, func(s scanner) (id string, err error) {
		err = s.Scan(&id)
		return id, err
	}, "SELECT id FROM channels WHERE status <> 255 AND id > $1 ORDER BY id LIMIT $2", after, n)
}

// Channels are those that an address pays or is paid by, after an id, at most n.
func (d *Reads) Channels(ctx context.Context, address, after string, n int) ([]Channel, error) {
	return list(ctx, d, scanChannel, "SELECT "+channelColumns+" FROM channels WHERE (payer = $1 OR payee = $1) AND "+
		"id > $2 ORDER BY id LIMIT $3", address, after, n)
}

// Txs are the instructions of a channel, oldest first, after one, at most n.
func (d *Reads) Txs(ctx context.Context, channel string, after Tx, n int) ([]Tx, error) {
	return list(ctx, d, scanTx, "SELECT "+txColumns+" FROM chain_tx WHERE channel = $1 AND "+
		"(slot, sig, outer_ix, inner_ix) > ($2, $3, $4, $5) ORDER BY slot, sig, outer_ix, inner_ix LIMIT $6",
		channel, after.Slot, after.Sig, after.Outer, after.Inner, n)
}

const bucketColumns = "metric, key, mint, step_s, at, n, low, p10, p50, p90, high, devices, free, leased, wanted"

func scanBucket(s scanner) (b Bucket, err error) {
	err = s.Scan(&b.Metric, &b.Key, &b.Mint, &b.Step, &b.At, &b.N, &b.Low, &b.P10, &b.P50, &b.P90, &b.High,
		&b.Devices, &b.Free, &b.Leased, &b.Wanted)
	return b, err
}

// Buckets are those of a figure since a time, oldest first, at most n.
func (d *Reads) Buckets(ctx context.Context, metric, key string, step, since int64, n int) ([]Bucket, error) {
	return list(ctx, d, scanBucket, "SELECT "+bucketColumns+" FROM buckets WHERE metric = $1 AND key = $2 AND "+
		"step_s = $3 AND at >= $4 ORDER BY at, mint LIMIT $5", metric, key, step, since, n)
}

// Days are the last buckets of each day (UTC) of a figure since a time, oldest first, at most n.
func (d *Reads) Days(ctx context.Context, metric, key string, step, since int64, n int) ([]Bucket, error) {
	return list(ctx, d, scanBucket, "SELECT "+bucketColumns+" FROM buckets WHERE metric = $1 AND key = $2 AND "+
		"step_s = $3 AND at IN (SELECT MAX(at) FROM buckets WHERE metric = $1 AND key = $2 AND step_s = $3 AND "+
		"at >= $4 GROUP BY at / 86400000) ORDER BY at, mint LIMIT $5", metric, key, step, since, n)
}

// Digests are those of the newest checkpoint not above a slot.
func (d *Reads) Digests(ctx context.Context, what string, slot int64) ([]Digest, error) {
	return list(ctx, d, func(s scanner) (g Digest, err error) {
		err = s.Scan(&g.Slot, &g.What, &g.Part, &g.N, &g.Hash)
		return g, err
	}, "SELECT slot, what, part, n, hash FROM digests WHERE what = $1 AND slot = (SELECT COALESCE(MAX(slot), 0) FROM "+
		"digests WHERE what = $1 AND slot <= $2) ORDER BY part", what, slot)
}

// Events implements rest.Feed.
func (d *Reads) Events(ctx context.Context, after uint64, limit int) (out []rest.Event, floor, last uint64, err error) {
	var low, high int64
	err = d.read.QueryRowContext(ctx, "SELECT COALESCE(MIN(seq), 1), COALESCE(MAX(seq), 0) FROM events").Scan(&low,
		&high)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read events: %w", err)
	}
	out, err = list(ctx, d, func(s scanner) (e rest.Event, err error) {
		var data string
		err = s.Scan(&e.Seq, &e.Topic, &data)
		e.Data = []byte(data)
		return e, err
	}, "SELECT seq, topic, data FROM events WHERE seq > $1 ORDER BY seq LIMIT $2", int64(after), limit)
	return out, uint64(low - 1), uint64(high), err
}

// Found is one thing whose id begins with what was asked.
type Found struct{ Kind, ID string }

// Search looks for ids that begin with a text, a few of each kind, and for models by any of their names.
func (d *Reads) Search(ctx context.Context, text string, each int) (out []Found, err error) {
	for _, k := range []struct{ kind, q string }{
		{"model", "SELECT DISTINCT class FROM lots WHERE live = 1 AND class >= $1 AND class < $2 ORDER BY class " +
			"LIMIT $3"},
		{"provider", "SELECT peer FROM rigs WHERE peer >= $1 AND peer < $2 ORDER BY peer LIMIT $3"},
		{"lease", "SELECT DISTINCT id FROM leases WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3"},
		{"channel", "SELECT id FROM channels WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3"},
		{"wallet", "SELECT DISTINCT payer FROM channels WHERE payer >= $1 AND payer < $2 ORDER BY payer LIMIT $3"},
		{"wallet", "SELECT DISTINCT payee FROM channels WHERE payee >= $1 AND payee < $2 ORDER BY payee LIMIT $3"},
		{"transaction", "SELECT DISTINCT sig FROM chain_tx WHERE sig >= $1 AND sig < $2 ORDER BY sig LIMIT $3"},
	} {
		from := text
		if k.kind == "model" {
			from = market.Slug(text) // of "RTX 4090", too
		}
		found, err := list(ctx, d, func(s scanner) (f Found, err error) {
			f.Kind = k.kind
			err = s.Scan(&f.ID)
			return f, err
		}, k.q, from, from+"\U0010FFFF", each)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}
