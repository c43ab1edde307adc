package main

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the peer

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/market/book"
)

// The fields that the rigs of this bench state, and how large each may be. Real ones repeat: few sizes of memory are
// sold, and many rigs are the same model.
var (
	groupFields = []stated{{market.FieldVRAM, 8 << 10, 10}, {market.FieldCC, 5, 18}, {market.FieldMemBW, 100, 40},
		{market.FieldFP16, 1000, 400}, {market.FieldFP32, 1000, 100}, {market.FieldH2D, 1000, 30},
		{market.FieldPCIeGen, 1, 5}, {market.FieldPower, 25, 28}, {market.FieldDriver, 1_000_000, 600},
		{market.FieldCUDA, 10, 1300}, {market.FieldProof, 1, 4}}
	rigFields = []stated{{market.FieldCPU, 500, 128}, {market.FieldRAM, 1 << 10, 512},
		{market.FieldDisk, 10 << 10, 400},
		{market.FieldNetDown, 10, 1000}, {market.FieldNetUp, 10, 1000}, {market.FieldCountry, 1, 200},
		{market.FieldRegion, 1, 7}, {market.FieldNAT, 1, 3}, {market.FieldEgress, 1, 7}, {market.FieldMinTime, 60, 60},
		{market.FieldMaxTime, 3600, 720}, {market.FieldTickMax, 1000, 60}}
)

type stated struct {
	id       market.FieldID
	step, of uint64 // a number is step × (1 to of)
}

const matchClasses = 40

// rig is one random row; its class decides what it costs.
func rig(r *rand.Rand, i int, seq uint64) market.Offer {
	o := market.Offer{Seq: seq, Lifetime: time.Hour, Mints: []market.Address{{}}, Fields: market.Fields{}}
	binary.BigEndian.PutUint64(o.Provider[:], uint64(i)*0x9e3779b97f4a7c15) // spread, as keys are
	class := int(float64(matchClasses) * r.Float64() * r.Float64())
	n := 1 + r.IntN(8)
	g := market.DeviceGroup{Class: fmt.Sprintf("model-%d", class), Devices: make([]market.DeviceID, n),
		Free: r.Uint64() & (1<<n - 1), Fields: market.Fields{},
		Rates: []market.Rate{market.Rate((1 + class) * (1_000_000 + r.IntN(2_000_000)))}}
	for _, f := range groupFields {
		g.Fields[f.id] = f.step * (1 + r.Uint64N(f.of))
	}
	for _, f := range rigFields {
		o.Fields[f.id] = f.step * (1 + r.Uint64N(f.of))
	}
	o.Groups = []market.DeviceGroup{g}
	return o
}

// typical is an order for some models, a few sizes and a price, of which the cheapest five are asked.
func typical(r *rand.Rand) book.Query {
	class := r.IntN(matchClasses / 2)
	q := book.Query{Classes: []string{fmt.Sprintf("model-%d", class)}, Devices: 1 + r.IntN(2), Limit: 5,
		MaxRate: market.Rate((1 + class) * 2_500_000)}
	for _, f := range []stated{groupFields[0], rigFields[1], rigFields[2]} {
		q.Terms = append(q.Terms, market.Term{Field: f.id, Lo: f.step * (1 + r.Uint64N(f.of/2))})
	}
	q.Terms = append(q.Terms, market.Term{Field: market.FieldEgress, In: []uint64{2}})
	_, _ = binary.Encode(q.Order[:], binary.BigEndian, r.Uint64()) // it fits
	return q
}

// anyQuery has up to ten terms of any form over any fields, sorted by anything.
func anyQuery(r *rand.Rand) book.Query {
	all := slices.Concat(groupFields, rigFields)
	q := book.Query{Devices: 1 + r.IntN(4), Limit: []int{5, 20, book.MaxLimit}[r.IntN(3)]}
	for range r.IntN(3) {
		q.Classes = append(q.Classes, fmt.Sprintf("model-%d", r.IntN(matchClasses)))
	}
	for range r.IntN(11) {
		f := all[r.IntN(len(all))]
		a, b := f.step*(1+r.Uint64N(f.of)), f.step*(1+r.Uint64N(f.of))
		switch t := (market.Term{Field: f.id}); r.IntN(5) {
		case 0:
			t.In = []uint64{a, b}
			q.Terms = append(q.Terms, t)
		case 1:
			t.Lo, t.Hi, t.HasHi = a, a, true
			t.Not = true
			q.Terms = append(q.Terms, t)
		case 2:
			t.Hi, t.HasHi = max(a, b), true
			q.Terms = append(q.Terms, t)
		default:
			t.Lo = min(a, b)
			q.Terms = append(q.Terms, t)
		}
	}
	by := all[r.IntN(len(all))].id
	q.Sort = []market.Sort{{}, {}, {Field: by, Each: true}, {Field: by}}[r.IntN(4)]
	_, _ = binary.Encode(q.Order[:], binary.BigEndian, r.Uint64()) // it fits
	return q
}

// spans are how long calls took by the clock, and on the processor.
type spans struct{ wall, cpu []time.Duration }

func (s *spans) time(f func() error) error {
	wall, cpu := time.Now(), onCPU()
	err := f()
	s.wall, s.cpu = append(s.wall, time.Since(wall)), append(s.cpu, onCPU()-cpu)
	return err
}

func benchMatch(ctx context.Context, o options, r *report) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now := time.Now()
	rng := rand.New(rand.NewPCG(1, 2))
	b, perRow, err := fillBook(rng, o.rows, now)
	if err != nil {
		return err
	}
	peer, err := newSQL(ctx, b)
	if err != nil {
		return err
	}
	defer peer.db.Close()
	if err := r.add(figure{Name: "book_memory", Value: float64(perRow), Unit: "B/row", Target: "stated",
		OK: true}); err != nil {
		return err
	}
	for _, kind := range []struct {
		name     string
		make     func(*rand.Rand) book.Query
		p50, p99 float64 // ms
	}{{"typical", typical, 1, 5}, {"any", anyQuery, 0, 5}} {
		var ours, theirs spans
		for i := range o.queries {
			q := kind.make(rng)
			var res book.Result
			_ = ours.time(func() error { res = b.Match(q, now); return nil })
			if i >= o.queries/20 || ctx.Err() != nil {
				continue
			}
			n := 0
			if err := theirs.time(func() (err error) { n, err = peer.match(ctx, q); return err }); err != nil {
				return err
			}
			if n != len(res.Candidates) {
				return fmt.Errorf("%d candidates, SQLite finds %d for %+v", len(res.Candidates), n, q)
			}
		}
		if err := matchFigures(r, "match_"+kind.name, ours, theirs, kind.p50, kind.p99); err != nil {
			return err
		}
	}
	return benchChurn(rng, b, now, o.rows, r)
}

func matchFigures(r *report, name string, ours, theirs spans, p50, p99 float64) error {
	for _, f := range []struct {
		name   string
		q      float64
		target float64
	}{{"_p50", 0.5, p50}, {"_p99", 0.99, p99}} {
		fig := figure{Name: name + f.name, Value: millis(quantile(ours.cpu, f.q)), Unit: "ms of CPU", Peer: "SQLite",
			PeerValue: millis(quantile(theirs.cpu, f.q)), OK: true}
		if f.target > 0 {
			fig.Target, fig.OK = fmt.Sprintf("≤ %g ms", f.target), fig.Value <= f.target
		}
		if err := r.add(fig); err != nil {
			return err
		}
		if err := r.add(figure{Name: name + f.name + "_wall", Value: millis(quantile(ours.wall, f.q)), Unit: "ms",
			OK: true}); err != nil {
			return err
		}
	}
	return nil
}

// fillBook makes a book of so many rows and says how many bytes each takes, its offer included.
func fillBook(rng *rand.Rand, rows int, now time.Time) (*book.Book, uint64, error) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	b := book.New()
	for i := range rows {
		if _, err := b.Put(rig(rng, i, uint64(now.UnixMilli())), market.DocID{}, nil, now); err != nil {
			return nil, 0, err
		}
	}
	return b, (heap() - before) / uint64(rows), nil
}

// benchChurn renews offers as providers do: most say the same with other devices free, some ask another price.
func benchChurn(rng *rand.Rand, b *book.Book, now time.Time, rows int, r *report) error {
	offers := b.Offers()
	for _, kind := range []struct {
		name   string
		change func(o *market.Offer)
	}{
		{"renewed", func(*market.Offer) {}},
		{"other_free", func(o *market.Offer) { o.Groups[0].Free = rng.Uint64() }},
		{"other_rate", func(o *market.Offer) { o.Groups[0].Rates = []market.Rate{o.Groups[0].Rates[0] + 1000} }},
	} {
		var took spans
		for n := range min(rows, 100_000) {
			o := &offers[(n*7919)%len(offers)]
			o.Seq++
			o.Groups = slices.Clone(o.Groups)
			kind.change(o)
			if err := took.time(func() error {
				_,
					err := b.Put(*o, market.DocID{}, nil, now)
				return err
			}); err != nil {
				return err
			}
		}
		total := time.Duration(0)
		for _, d := range took.cpu {
			total += d
		}
		if err := r.add(figure{Name: "put_" + kind.name, OK: true, Unit: "µs of CPU",
			Value: float64(total.Nanoseconds()) / 1000 / float64(len(took.cpu))}); err != nil {
			return err
		}
	}
	return nil
}

// sqlPeer is the same rows in SQLite's memory, with an index by class and rate.
type sqlPeer struct{ db *sql.DB }

func newSQL(ctx context.Context, b *book.Book) (p sqlPeer, err error) {
	if p.db, err = sql.Open("sqlite", ":memory:"); err != nil {
		return p, err
	}
	p.db.SetMaxOpenConns(1) // a database in memory is its connection's
	all := slices.Concat(groupFields, rigFields)
	cols, marks := "", ""
	for _, f := range all {
		cols += ", " + f.id.String() + " INTEGER"
		marks += ", ?"
	}
	if _, err = p.db.ExecContext(ctx,
		"CREATE TABLE rows (class TEXT, rate INTEGER, free INTEGER"+cols+")"); err != nil {
		return p, err
	}
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return p, err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	put, err := tx.PrepareContext(ctx, "INSERT INTO rows VALUES (?, ?, ?"+marks+")")
	if err != nil {
		return p, err
	}
	for _, o := range b.Offers() {
		g := o.Groups[0]
		row := []any{g.Class, int64(g.Rates[0]), bits.OnesCount64(g.Free)}
		for i, f := range all {
			v := o.Fields[f.id]
			if i < len(groupFields) {
				v = g.Fields[f.id]
			}
			row = append(row, int64(v))
		}
		if _, err := put.ExecContext(ctx, row...); err != nil {
			return p, err
		}
	}
	for _, index := range []string{"CREATE INDEX by_class ON rows (class, rate)", "CREATE INDEX by_rate ON rows (rate)",
		"ANALYZE"} {
		if _, err := tx.ExecContext(ctx, index); err != nil {
			return p, err
		}
	}
	return p, tx.Commit()
}

// match counts the rows that SQLite finds, best first.
func (p sqlPeer) match(ctx context.Context, q book.Query) (n int, err error) {
	where, args := []string{"free >= ?"}, []any{q.Devices}
	if len(q.Classes) > 0 {
		where = append(where, "class IN (?"+strings.Repeat(", ?", len(q.Classes)-1)+")")
		for _, c := range q.Classes {
			args = append(args, c)
		}
	}
	if q.MaxRate > 0 {
		where, args = append(where, "rate <= ?"), append(args, int64(q.MaxRate))
	}
	for _, t := range q.Terms {
		text, values := sqlTerm(t)
		where, args = append(where, text), append(args, values...)
	}
	by := "rate"
	if name := q.Sort.Field.String(); q.Sort.Each {
		by = "rate * 1.0 / " + name
	} else if q.Sort != (market.Sort{}) {
		by = name + " DESC"
	}
	text := "SELECT rowid FROM rows WHERE " + strings.Join(where, " AND ") + " ORDER BY " + by + " LIMIT ?"
	rows, err := p.db.QueryContext(ctx, text, append(args, q.Limit)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func sqlTerm(t market.Term) (text string, values []any) {
	name := t.Field.String()
	info, _ := t.Field.Info()
	switch {
	case len(t.In) > 0:
		var parts []string
		for _, x := range t.In {
			parts, values = append(parts, name+" = ?"), append(values, int64(x))
			if info.Bits {
				parts, values = append(parts, name+" & ?"), append(values, int64(x))
			}
		}
		text = "(" + strings.Join(parts, " OR ") + ")"
	case t.HasHi:
		text, values = name+" BETWEEN ? AND ?", []any{int64(t.Lo), int64(t.Hi)}
	default:
		text, values = name+" >= ?", []any{int64(t.Lo)}
	}
	if t.Not {
		text = "NOT (" + text + ")"
	}
	return text, values
}
