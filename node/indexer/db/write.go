package db

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/escrow"
)

// Change is what one transaction writes.
type Change struct {
	Rigs     []Rig // a provider once
	Probes   []Probe
	Channels []Channel
	Txs      []Tx
	Leases   []Lease // one of the same lease and signers once
	Wants    []Want  // a slot of a customer once
	Delays   []Delay
	Buckets  []Bucket
	Meta     map[string]string // cursors of the sources
	Digests  []Digest
}

// Applied says what of a Change was new.
type Applied struct {
	Rigs, Expired, Channels, Txs, Leases, Wants int
	Refused                                     int // leases that found no room
}

// keepEvents is how many events stay.
const keepEvents = 100_000

// Apply writes a Change, and marks what has expired by now. It is all there once Apply returns nil, and nothing of it
// else; a second time it changes nothing.
func (d *DB) Apply(ctx context.Context, now time.Time, c Change) (out Applied, err error) {
	touched := map[Source]bool{}
	err = d.inTx(ctx, func(t *tx) error {
		a := applying{tx: t, now: now.UnixMilli(), touched: touched, unsettled: map[string]bool{},
			hours: map[hourOf]bool{}, moves: movesOf(c.Txs), moved: map[string]bool{}}
		for _, step := range []func() error{
			func() error { return a.rigs(c.Rigs) },
			a.expire,
			func() error { return a.probes(c.Probes) },
			func() error { return a.channels(c.Channels) },
			func() error { return a.txs(c.Txs) },
			func() error { return a.wants(c.Wants) },
			func() error { return a.leases(c.Leases) },
			a.settle,
			a.markDue,
			func() error { return a.delays(c.Delays) },
			func() error { return a.rest(c) },
			a.tell,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		out = a.out
		return nil
	})
	if err != nil {
		return Applied{}, fmt.Errorf("write index: %w", err)
	}
	d.touch(touched)
	return out, nil
}

type applying struct {
	*tx
	now     int64
	touched map[Source]bool
	events  []event
	out     Applied

	hours     map[hourOf]bool // whose price is due
	unsettled map[string]bool // channels whose leases may be settled otherwise now

	moves map[string]int64 // the newest instruction of a channel in this change
	moved map[string]bool  // channels that were written with it
}

// happens adds a row to what happened.
func (a *applying) happens(topic string, doc map[string]any) {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err) // of texts and numbers
	}
	a.events = append(a.events, event{a.now, topic, string(b)})
}

// rigs writes those whose Offer is newer than the one that is held.
func (a *applying) rigs(list []Rig) error {
	list = slices.SortedFunc(slices.Values(list), func(x, y Rig) int { return strings.Compare(x.Peer, y.Peer) })
	for part := range slices.Chunk(list, maxRows) {
		if err := a.rigsPart(part); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) rigsPart(list []Rig) error {
	keys := make([]string, len(list))
	for i, r := range list {
		keys[i] = r.Peer
	}
	held := map[string]Rig{}
	places, args := a.in(keys)
	err := scan(a.ctx, a.Tx, func(s scanner) error {
		var r Rig
		err := s.Scan(&r.Peer, &r.Seq, &r.FirstAt, &r.ProbedAt, &r.Reached, &r.RTT)
		held[r.Peer] = r
		return err
	}, "SELECT peer, seq, first_at, probed_at, reached_at, rtt_us FROM rigs WHERE peer IN "+places, args...)
	if err != nil {
		return err
	}
	var rigs []Rig
	var lots []Lot
	keys = keys[:0]
	for _, r := range list {
		old, known := held[r.Peer]
		if known && r.Seq <= old.Seq {
			continue
		}
		r.FirstAt, r.LastAt = a.now, a.now
		if known {
			r.FirstAt, r.ProbedAt, r.Reached, r.RTT = old.FirstAt, old.ProbedAt, old.Reached, old.RTT
		}
		r.Live = len(r.Lots) > 0 && r.ExpiresAt > a.now
		for _, l := range r.Lots {
			l.Peer, l.Reached = r.Peer, r.Reached
			lots = append(lots, l)
		}
		if rigs = append(rigs, r); known {
			keys = append(keys, r.Peer) // its lots are replaced
		}
		a.happens("offer", map[string]any{"schema": "gpuai.offer-event/v1", "peer": r.Peer, "seq": r.Seq,
			"live": r.Live, "devices": r.Devices, "free": r.Free})
	}
	if len(rigs) == 0 {
		return nil
	}
	a.touched[Gossip] = true
	a.out.Rigs += len(rigs)
	return a.putRigs(keys, rigs, lots)
}

func (a *applying) putRigs(keys []string, rigs []Rig, lots []Lot) error {
	live := map[string]int64{}
	err := a.insert("rigs", "peer, seq, raw, first_at, last_at, expires_at, live, payout, version, country, devices, "+
		"free, probed_at, reached_at, rtt_us", `ON CONFLICT (peer) DO UPDATE SET seq = excluded.seq, raw = excluded.raw,
		last_at = excluded.last_at, expires_at = excluded.expires_at, live = excluded.live, payout = excluded.payout,
		version = excluded.version, country = excluded.country, devices = excluded.devices, free = excluded.free
		WHERE excluded.seq > rigs.seq`, len(rigs), func(i int) []any {
		r := rigs[i]
		live[r.Peer] = bit(r.Live)
		return []any{r.Peer, r.Seq, r.Raw, r.FirstAt, r.LastAt, r.ExpiresAt, bit(r.Live), r.Payout, r.Version,
			r.Country, r.Devices, r.Free, r.ProbedAt, r.Reached, r.RTT}
	})
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		places, args := a.in(keys)
		if err := a.exec("DELETE FROM lots WHERE peer IN "+places, args...); err != nil {
			return err
		}
	}
	return a.insert("lots", "peer, ix, mint, live, class, name, devices, free, rate, vram, ram, cpu_milli, disk, "+
		"country, payout, reached_at, lead, head", "", len(lots), func(i int) []any {
		l := lots[i]
		return []any{l.Peer, l.Ix, l.Mint, live[l.Peer], l.Class, l.Name, l.Devices, l.Free, l.Rate, l.VRAM, l.RAM,
			l.CPUMilli, l.Disk, l.Country, l.Payout, l.Reached, bit(l.Lead), bit(l.Head)}
	})
}

// expire takes from the market what nobody has renewed.
func (a *applying) expire() error {
	var gone []string
	err := scan(a.ctx, a.Tx, func(s scanner) error {
		var peer string
		err := s.Scan(&peer)
		gone = append(gone, peer)
		return err
	}, "SELECT peer FROM rigs WHERE live = 1 AND expires_at <= $1", a.now)
	if err == nil && len(gone)+a.out.Rigs > 0 {
		err = forgetRigs(a)
	}
	if err != nil || len(gone) == 0 {
		return err
	}
	a.touched[Gossip] = true
	a.out.Expired = len(gone)
	for part := range slices.Chunk(gone, maxRows) {
		places, args := a.in(part)
		for _, q := range []string{"UPDATE rigs SET live = 0 WHERE peer IN ",
			"UPDATE lots SET live = 0 WHERE peer IN "} {
			if err := a.exec(q+places, args...); err != nil {
				return err
			}
		}
		for _, peer := range part {
			a.happens("offer", map[string]any{"schema": "gpuai.offer-event/v1", "peer": peer, "live": false})
		}
	}
	return nil
}

func (a *applying) probes(list []Probe) error {
	newest, answer := map[string]Probe{}, map[string]Probe{}
	type peerDay struct {
		peer string
		day  int64
	}
	days := map[peerDay]*Day{}
	for _, p := range list {
		a.touched[Probes] = true
		at := peerDay{p.Peer, p.At / day}
		if days[at] == nil {
			days[at] = &Day{}
		}
		days[at].Probes++
		days[at].Reached += bit(p.OK)
		if p.At > newest[p.Peer].At {
			newest[p.Peer] = p
		}
		if p.OK && p.At > answer[p.Peer].At {
			answer[p.Peer] = p
		}
	}
	for peer, p := range newest {
		err := a.exec("UPDATE rigs SET probed_at = $2 WHERE peer = $1 AND probed_at < $2", peer, p.At)
		if p, ok := answer[peer]; ok && err == nil {
			err = a.exec("UPDATE rigs SET reached_at = $2, rtt_us = $3 WHERE peer = $1 AND reached_at < $2", peer, p.At,
				p.RTT)
			if err == nil {
				err = a.exec("UPDATE lots SET reached_at = $2 WHERE peer = $1 AND reached_at < $2", peer, p.At)
			}
		}
		if err != nil {
			return err
		}
	}
	keys := slices.Collect(maps.Keys(days))
	return a.insert("uptime", "peer, day, probes, reached", `ON CONFLICT (peer, day) DO UPDATE SET
		probes = uptime.probes + excluded.probes, reached = uptime.reached + excluded.reached`, len(keys),
		func(i int) []any {
			return []any{keys[i].peer, keys[i].day, days[keys[i]].Probes, days[keys[i]].Reached}
		})
}

func (a *applying) channels(list []Channel) error {
	for part := range slices.Chunk(list, maxRows) {
		keys := make([]string, len(part))
		for i, c := range part {
			keys[i] = c.ID
		}
		held := map[string]Channel{}
		places, args := a.in(keys)
		err := scan(a.ctx, a.Tx, func(s scanner) (err error) {
			var c Channel
			c, err = scanChannel(s)
			held[c.ID] = c
			return err
		}, "SELECT "+channelColumns+" FROM channels WHERE id IN "+places, args...)
		if err != nil {
			return err
		}
		part = slices.DeleteFunc(slices.Clone(part), func(c Channel) bool {
			old, known := held[c.ID]
			if known && c.Status == statusGone {
				c = goneFrom(old, c)
			}
			c.MovedAt, old.MovedAt = 0, 0
			same := old
			same.Slot = c.Slot
			return known && (c.Slot < old.Slot || c == same)
		})
		if len(part) == 0 {
			continue
		}
		a.touched[Chain] = true
		a.out.Channels += len(part)
		for _, c := range part {
			a.unsettled[c.ID] = true
		}
		if err := a.putChannels(part, held); err != nil {
			return err
		}
	}
	return nil
}

// statusGone is escrow.StatusGone: the account is closed.
const statusGone = int64(escrow.StatusGone)

// goneFrom is a channel whose account is closed: what it was stays known, and what its instructions told beside. The
// program closes none before both sides have all of theirs.
func goneFrom(old, told Channel) Channel {
	c := old
	if old.Payer == "" {
		c = told
		c.MovedAt = old.MovedAt
	}
	c.ID, c.Status, c.Slot, c.Deadline, c.Lamports = told.ID, statusGone, told.Slot, 0, 0
	c.Deposit, c.Settled = max(old.Deposit, told.Deposit), max(old.Settled, told.Settled)
	c.Paid, c.Refunded = c.Settled, max(c.Deposit-c.Settled, 0)
	return c
}

// movesOf is when each channel moved last, by instructions that did something.
func movesOf(txs []Tx) map[string]int64 {
	out := map[string]int64{}
	for _, t := range txs {
		if t.Result == TxOK {
			out[t.Channel] = max(out[t.Channel], t.At)
		}
	}
	return out
}

func (a *applying) putChannels(part []Channel, held map[string]Channel) error {
	for i, c := range part {
		old := held[c.ID]
		part[i].MovedAt = max(c.MovedAt, old.MovedAt, a.moves[c.ID])
		a.moved[c.ID] = c.Status != statusGone
		if c.Status == statusGone {
			part[i] = goneFrom(old, c)
		}
		a.happens("channel", map[string]any{"schema": "gpuai.channel-event/v1", "channel": c.ID, "status": c.Status,
			"slot": c.Slot})
	}
	return a.insert("channels", channelColumns, `ON CONFLICT (id) DO UPDATE SET status = excluded.status,
		payer = excluded.payer, payee = excluded.payee, mint = excluded.mint, decimals = excluded.decimals,
		deposit = excluded.deposit, settled = excluded.settled, paid = excluded.paid, refunded = excluded.refunded,
		deadline = excluded.deadline, close_delay_s = excluded.close_delay_s, opened_at = excluded.opened_at,
		open_slot = excluded.open_slot, lamports = excluded.lamports, slot = excluded.slot, moved_at =
		excluded.moved_at,
		voucher_key = excluded.voucher_key
		WHERE excluded.slot >= channels.slot`, len(part), func(i int) []any {
		c := part[i]
		return []any{c.ID, c.Status, c.Payer, c.Payee, c.Mint, c.Decimals, c.Deposit, c.Settled, c.Paid, c.Refunded,
			c.Deadline, c.CloseDelay, c.OpenedAt, c.OpenSlot, c.Lamports, c.Slot, c.MovedAt, c.VoucherKey}
	})
}

// txs adds instructions that are not there yet.
func (a *applying) txs(list []Tx) error {
	for part := range slices.Chunk(list, maxRows) {
		keys := make([]string, len(part))
		for i, t := range part {
			keys[i] = t.Sig
		}
		type place struct {
			sig          string
			outer, inner int64
		}
		held := map[place]bool{}
		places, args := a.in(keys)
		err := scan(a.ctx, a.Tx, func(s scanner) error {
			var p place
			err := s.Scan(&p.sig, &p.outer, &p.inner)
			held[p] = true
			return err
		}, "SELECT sig, outer_ix, inner_ix FROM chain_tx WHERE sig IN "+places, args...)
		if err != nil {
			return err
		}
		part = slices.DeleteFunc(slices.Clone(part), func(t Tx) bool {
			p := place{t.Sig, t.Outer, t.Inner}
			was := held[p]
			held[p] = true
			return was
		})
		for _, t := range part {
			a.touched[Chain] = true
			a.happens("transaction", map[string]any{"schema": "gpuai.transaction-event/v1", "signature": t.Sig,
				"outer": t.Outer, "inner": t.Inner, "name": t.Name, "channel": t.Channel, "result": t.Result})
			if t.Result == TxOK && !a.moved[t.Channel] {
				err := a.exec("UPDATE channels SET moved_at = $2 WHERE id = $1 AND moved_at < $2", t.Channel, t.At)
				if err != nil {
					return err
				}
			}
		}
		a.out.Txs += len(part)
		if err := a.putTxs(part); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) putTxs(part []Tx) error {
	return a.insert("chain_tx", txColumns, "ON CONFLICT (sig, outer_ix, inner_ix) DO NOTHING", len(part),
		func(i int) []any {
			t := part[i]
			return []any{t.Sig, t.Outer, t.Inner, t.Slot, t.At, t.Result, t.Name, t.Channel, t.Authority, t.Amount}
		})
}

func (a *applying) rest(c Change) error {
	for k, v := range c.Meta {
		if err := a.setMeta(k, v); err != nil {
			return err
		}
	}
	if len(c.Buckets) > 0 {
		a.touched[Sums] = true
	}
	err := a.insert("buckets", bucketColumns,
		`ON CONFLICT (metric, key, mint, step_s, at) DO UPDATE SET n = excluded.n, low = excluded.low,
		p10 = excluded.p10, p50 = excluded.p50, p90 = excluded.p90, high = excluded.high, devices = excluded.devices,
		free = excluded.free, leased = excluded.leased, wanted = excluded.wanted`, len(c.Buckets), func(i int) []any {
			b := c.Buckets[i]
			return []any{b.Metric, b.Key, b.Mint, b.Step, b.At, b.N, b.Low, b.P10, b.P50, b.P90, b.High, b.Devices,
				b.Free, b.Leased, b.Wanted}
		})
	if err != nil || len(c.Digests) == 0 {
		return err
	}
	a.touched[Chain] = true
	return a.insert("digests", "what, slot, part, n, hash", "ON CONFLICT (what, slot, part) DO NOTHING",
		len(c.Digests), func(i int) []any {
			g := c.Digests[i]
			return []any{g.What, g.Slot, g.Part, g.N, g.Hash}
		})
}

// tell numbers the events and adds them.
func (a *applying) tell() error {
	if len(a.events) == 0 {
		return nil
	}
	var last int64
	if err := a.QueryRowContext(a.ctx, "SELECT COALESCE(MAX(seq), 0) FROM events").Scan(&last); err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	err := a.insert("events", "seq, at, topic, data", "", len(a.events), func(i int) []any {
		e := a.events[i]
		return []any{last + int64(i) + 1, e.at, e.topic, e.data}
	})
	if err != nil {
		return err
	}
	return a.exec("DELETE FROM events WHERE seq <= $1", last+int64(len(a.events))-keepEvents)
}

// Reset empties the index, which is another one then.
func (d *DB) Reset(ctx context.Context) error {
	err := d.inTx(ctx, func(t *tx) error {
		for _, table := range tables {
			if err := t.exec("DELETE FROM " + table); err != nil {
				return err
			}
		}
		return t.exec("DELETE FROM meta WHERE k <> $1", "schema")
	})
	if err == nil {
		err = d.begin(ctx)
	}
	d.touch(map[Source]bool{Gossip: true, Probes: true, Chain: true, Signed: true, Sums: true})
	return err
}

// tables are all but meta.
var tables = []string{"rigs", "lots", "uptime", "channels", "chain_tx", "buckets", "events", "digests",
	"leases", "wants", "cleared", "cleared_due", "delays"}
