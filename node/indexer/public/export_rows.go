package public

import (
	"context"
	"iter"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/indexer/db"
	"github.com/gpuai/gpuai/node/indexer/table"
)

// bulkPage is how many rows a long download reads at once.
const bulkPage = 2_000

// asked is what an export is asked for.
type asked struct {
	db.Span
	slug string
}

// exported is a table that can be taken away.
type exported struct {
	about   string
	timed   bool // from and until bound it, else it is as of now
	slugs   bool // slug bounds it
	columns []table.Column
	extent  func(ctx context.Context, d *db.Bulk) (first, last int64, err error) // nil: as of now
	csv     func(ctx context.Context, d *db.Bulk, q asked, w deadlines) error
	parquet func(ctx context.Context, d *db.Bulk, q asked, w deadlines) error
}

// tableOf is a table of rows that pages give.
func tableOf[T any](e exported, pages func(context.Context, *db.Bulk, asked) iter.Seq2[[]T, error]) exported {
	e.columns = table.Columns[T]()
	copied := func(w table.Writer[T], ctx context.Context, d *db.Bulk, q asked) error {
		for rows, err := range pages(ctx, d, q) {
			if err == nil {
				err = w.Write(rows)
			}
			if err != nil {
				return err
			}
		}
		return w.Close()
	}
	e.csv = func(ctx context.Context, d *db.Bulk, q asked, w deadlines) error {
		to, err := table.NewCSV[T](w)
		if err != nil {
			return err
		}
		return copied(to, ctx, d, q)
	}
	e.parquet = func(ctx context.Context, d *db.Bulk, q asked, w deadlines) error {
		return copied(table.NewParquet[T](w), ctx, d, q)
	}
	return e
}

// paged reads until a page is not full. next reads the page after a row.
func paged[R, T any](next func(after R) ([]R, error), row func(R) (T, bool)) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		var after R
		for {
			list, err := next(after)
			out := make([]T, 0, len(list))
			for _, r := range list {
				if t, ok := row(r); ok {
					out = append(out, t)
				}
			}
			if !yield(out, err) || err != nil || len(list) < bulkPage {
				return
			}
			after = list[len(list)-1]
		}
	}
}

// exports are the tables by their names.
var exports = map[string]exported{
	"prices": tableOf(exported{timed: true, slugs: true,
		about: "what was asked for each model, hour by hour",
		extent: func(ctx context.Context, d *db.Bulk) (int64, int64, error) {
			return d.Extent(ctx, db.MetricAsk)
		}}, prices),
	"channels": tableOf(exported{about: "all channels as they are now"}, channels),
	"instructions": tableOf(exported{timed: true, about: "all instructions of the escrow program, in its order",
		extent: func(ctx context.Context, d *db.Bulk) (int64, int64, error) { return d.TxExtent(ctx) }}, instructions),
	"leases": tableOf(exported{timed: true, slugs: true, about: "how leases ended, as both sides signed it",
		extent: func(ctx context.Context, d *db.Bulk) (int64, int64, error) { return d.LeaseExtent(ctx) }}, leases),
	"cleared": tableOf(exported{timed: true, slugs: true,
		about:  "the price that was paid for each model, hour by hour; see docs/price-index.md",
		extent: func(ctx context.Context, d *db.Bulk) (int64, int64, error) { return d.ClearedExtent(ctx) }}, cleared),
	"offers": tableOf(exported{slugs: true, about: "what is on sale now, the cheapest first"}, offers),
}

// coin is the mint that the amounts of a row are in.
type coin struct {
	Mint     string `parquet:"mint,optional"`
	Decimals int64  `parquet:"decimals"`
	Symbol   string `parquet:"symbol,optional"`
}

func coinOf(m api.Money) coin { return coin{m.Mint, int64(m.Decimals), m.Symbol} }

// priceRow is an hour of a model. Amounts are in the mint's smallest unit, per device and hour.
type priceRow struct {
	Slug   string `parquet:"slug"`
	At     int64  `parquet:"at,timestamp(millisecond)"`
	Step   int64  `parquet:"step_s"`
	Low    int64  `parquet:"low"`
	P10    int64  `parquet:"p10"`
	Median int64  `parquet:"median"`
	P90    int64  `parquet:"p90"`
	High   int64  `parquet:"high"`
	coin
	N       int64  `parquet:"n"`
	Devices int64  `parquet:"devices"`
	Free    int64  `parquet:"free"`
	Leased  int64  `parquet:"leased"`
	Wanted  int64  `parquet:"wanted"`
	Src     string `parquet:"src"`
}

func prices(ctx context.Context, d *db.Bulk, q asked) iter.Seq2[[]priceRow, error] {
	return paged(func(after db.Bucket) ([]db.Bucket, error) {
		return d.BucketsIn(ctx, db.MetricAsk, q.slug, q.Span, after, bulkPage)
	}, func(b db.Bucket) (priceRow, bool) {
		m, known := money(b.Mint, "")
		return priceRow{b.Key, b.At, b.Step, b.Low, b.P10, b.P50, b.P90, b.High, coinOf(m),
			b.N, b.Devices, b.Free, b.Leased, b.Wanted, string(db.Gossip)}, known
	})
}

// channelRow is an account of the escrow program at finality, read at a slot.
type channelRow struct {
	Channel  string `parquet:"channel"`
	Status   string `parquet:"status"`
	Payer    string `parquet:"payer,optional"`
	Payee    string `parquet:"payee,optional"`
	Deposit  int64  `parquet:"deposit"`
	Settled  int64  `parquet:"settled"`
	Paid     int64  `parquet:"paid"`
	Refunded int64  `parquet:"refunded"`
	coin
	Lamports   int64  `parquet:"lamports"`
	OpenedAt   int64  `parquet:"opened_at,timestamp(millisecond),optional"`
	Deadline   int64  `parquet:"deadline,timestamp(millisecond),optional"`
	CloseDelay int64  `parquet:"close_delay_s"`
	MovedAt    int64  `parquet:"moved_at,timestamp(millisecond),optional"`
	Slot       int64  `parquet:"slot"`
	Src        string `parquet:"src"`
}

func channels(ctx context.Context, d *db.Bulk, _ asked) iter.Seq2[[]channelRow, error] {
	return paged(func(after db.Channel) ([]db.Channel, error) { return d.AllChannels(ctx, after.ID, bulkPage) },
		func(c db.Channel) (channelRow, bool) {
			m, _ := money(c.Mint, "") // another mint has no symbol here
			return channelRow{c.ID, Status(c.Status), c.Payer, c.Payee, c.Deposit, c.Settled, c.Paid, c.Refunded,
				coin{c.Mint, c.Decimals, m.Symbol}, c.Lamports, msOf(c.OpenedAt), msOf(c.Deadline), c.CloseDelay,
				c.MovedAt,
				c.Slot, string(db.Chain)}, true
		})
}

// Status is the word of a channel's status.
func Status(s int64) string { return statuses[s] }

// msOf is a moment of the chain in ms, 0 where it is absurd.
func msOf(seconds int64) int64 {
	if seconds < 0 || seconds >= 1<<38 {
		return 0
	}
	return seconds * 1000
}

// instructionRow is one of the escrow program. Deposit is of open and top_up: all that is locked afterwards.
type instructionRow struct {
	Signature string `parquet:"signature"`
	Outer     int64  `parquet:"outer"`
	Inner     int64  `parquet:"inner"`
	Slot      int64  `parquet:"slot"`
	At        int64  `parquet:"at,timestamp(millisecond)"`
	Result    string `parquet:"result"`
	Name      string `parquet:"name,optional"`
	Channel   string `parquet:"channel,optional"`
	Authority string `parquet:"authority,optional"`
	Deposit   int64  `parquet:"deposit,optional"`
	Src       string `parquet:"src"`
}

func instructions(ctx context.Context, d *db.Bulk, q asked) iter.Seq2[[]instructionRow, error] {
	var behind int64
	begun := false
	return paged(func(after db.Tx) (list []db.Tx, err error) {
		if !begun {
			begun = true
			if after.Slot, behind, err = d.Slots(ctx, q.Span); err != nil {
				return nil, err
			}
			after.Inner = -2 // before all of the slot
		}
		return d.TxsIn(ctx, after.Slot, behind, after, bulkPage)
	}, func(t db.Tx) (instructionRow, bool) {
		return instructionRow{t.Sig, t.Outer, t.Inner, t.Slot, t.At, t.Result, t.Name, t.Channel, t.Authority, t.Amount,
			string(db.Chain)}, true
	})
}

// offerRow is a group of equal devices at a price, per device and hour in the mint's smallest unit.
type offerRow struct {
	Peer    string `parquet:"peer"`
	Group   int64  `parquet:"group"`
	Slug    string `parquet:"slug"`
	Name    string `parquet:"name"`
	Devices int64  `parquet:"devices"`
	Free    int64  `parquet:"free"`
	Rate    int64  `parquet:"rate"`
	coin
	VRAM      int64  `parquet:"vram_bytes,optional"`
	RAM       int64  `parquet:"ram_bytes,optional"`
	Disk      int64  `parquet:"disk_bytes,optional"`
	CPUMilli  int64  `parquet:"cpu_milli,optional"`
	Country   string `parquet:"country,optional"`
	Payout    string `parquet:"payout"`
	ReachedAt int64  `parquet:"reached_at,timestamp(millisecond),optional"`
	Src       string `parquet:"src"`
}

func offers(ctx context.Context, d *db.Bulk, q asked) iter.Seq2[[]offerRow, error] {
	return paged(func(after db.Lot) ([]db.Lot, error) {
		return d.Lots(ctx, db.LotQuery{Class: q.slug, Mint: assets[0].mint, After: after.Peer != "",
			AfterRate: after.Rate, AfterPeer: after.Peer, AfterIx: after.Ix, AfterMint: after.Mint, Limit: bulkPage})
	}, func(l db.Lot) (offerRow, bool) {
		m, known := money(l.Mint, "")
		return offerRow{l.Peer, l.Ix, l.Class, l.Name, l.Devices, l.Free, l.Rate, coinOf(m),
			l.VRAM, l.RAM, l.Disk, l.CPUMilli, l.Country, l.Payout, l.Reached, string(db.Gossip)}, known
	})
}

// leaseRow is how a lease ended. Rate is per device and hour; settled: yes, no, or empty where the channel is not
// known.
type leaseRow struct {
	Lease   string `parquet:"lease"`
	Slug    string `parquet:"slug"`
	Devices int64  `parquet:"devices"`
	Rate    int64  `parquet:"rate"`
	Amount  int64  `parquet:"amount"`
	coin
	Provider  string `parquet:"provider"`
	Customer  string `parquet:"customer"`
	Channel   string `parquet:"channel"`
	Payer     string `parquet:"payer"`
	Payee     string `parquet:"payee"`
	StartedAt int64  `parquet:"started_at,timestamp(millisecond),optional"`
	EndedAt   int64  `parquet:"ended_at,timestamp(millisecond)"`
	Billable  int64  `parquet:"billable_ms"`
	Code      string `parquet:"code"`
	Fault     string `parquet:"fault"`
	Outputs   string `parquet:"outputs,optional"`
	Settled   string `parquet:"settled,optional"`
	Src       string `parquet:"src"`
}

func leases(ctx context.Context, d *db.Bulk, q asked) iter.Seq2[[]leaseRow, error] {
	settled := map[db.Settled]string{db.SettledCovered: "yes", db.SettledNot: "no", db.SettledForeign: "no"}
	return paged(func(after db.Lease) ([]db.Lease, error) { return d.LeasesIn(ctx, q.slug, q.Span, after, bulkPage) },
		func(l db.Lease) (leaseRow, bool) {
			m := moneyOf(l.Mint, l.Amount)
			return leaseRow{l.ID, l.Class, l.Devices, l.Rate, l.Amount, coinOf(m), l.Provider,
				l.Customer, l.Channel, l.Payer, l.Payee, l.Ready, l.Ended, l.BillableMS, l.Code,
				market.Fault(l.Fault).String(), l.Outputs, settled[l.Settled], string(db.Signed)}, true
		})
}

// clearedRow is an hour of the price index, per device and hour.
type clearedRow struct {
	Slug  string `parquet:"slug"`
	At    int64  `parquet:"at,timestamp(millisecond)"`
	Price int64  `parquet:"price"`
	coin
	N       int64  `parquet:"n"`
	Pairs   int64  `parquet:"pairs"`
	Payers  int64  `parquet:"payers"`
	Payees  int64  `parquet:"payees"`
	Weight  int64  `parquet:"device_ms"`
	Waiting int64  `parquet:"waiting"`
	Src     string `parquet:"src"`
}

func cleared(ctx context.Context, d *db.Bulk, q asked) iter.Seq2[[]clearedRow, error] {
	return paged(func(after db.Cleared) ([]db.Cleared, error) {
		return d.ClearedIn(ctx, q.slug, q.Span, after, bulkPage)
	}, func(c db.Cleared) (clearedRow, bool) {
		m := moneyOf(c.Mint, c.Price)
		return clearedRow{c.Class, c.At, c.Price, coinOf(m), c.N, c.Pairs, c.Payers, c.Payees,
			c.Weight, c.Waiting, string(db.Signed)}, c.N > 0
	})
}
