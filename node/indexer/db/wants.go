package db

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Want is a slot of a customer as it was signed last; of a row it is one of its classes. No Devices: it was withdrawn.
// Rate is the most per device and hour in the mint, 0: any. Times are unix ms.
type Want struct {
	Customer    string
	Slot, Seq   int64
	Classes     []string
	Devices     int64
	Mint        string
	Rate        int64
	DurationSec int64 // 0: not said
	Began       int64 // since when the customer has asked for this without a break
	Until       int64 // it expires, or has ended
}

// wantsKept is how long Wants that are over are known: leases that came of them may end late.
const wantsKept = 7 * day

const wantColumns = "customer, slot, began_at, seq, classes, devices, mint, rate, duration_s, until_at"

func scanWant(s scanner) (w Want, err error) {
	var classes string
	err = s.Scan(&w.Customer, &w.Slot, &w.Began, &w.Seq, &classes, &w.Devices, &w.Mint, &w.Rate, &w.DurationSec,
		&w.Until)
	w.Classes = strings.Fields(classes)
	return w, err
}

// wants writes those that are newer, and ends those that nobody has renewed.
func (a *applying) wants(list []Want) error {
	for _, w := range list {
		if err := a.want(w); err != nil {
			return err
		}
	}
	done, err := a.ExecContext(a.ctx, "UPDATE wants SET live = 0 WHERE live = 1 AND until_at <= $1", a.now)
	if err != nil {
		return fmt.Errorf("end wants: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil {
		return fmt.Errorf("end wants: %w", err)
	} else if n > 0 {
		a.touched[Gossip] = true
	}
	if len(list) == 0 {
		return nil
	}
	return forgetWants(a)
}

func (a *applying) want(w Want) error {
	held, err := rowsOf(a, scanWant,
		"SELECT "+wantColumns+" FROM wants WHERE customer = $1 AND slot = $2 AND lead = 1 "+
			"ORDER BY began_at DESC LIMIT 1", w.Customer, w.Slot)
	if err != nil {
		return err
	}
	w.Began = min(w.Began, a.now)
	if len(held) > 0 {
		old := held[0]
		if w.Seq <= old.Seq {
			return nil
		}
		a.touched[Gossip] = true
		if w.Devices == old.Devices && slices.Equal(w.Classes, old.Classes) && old.Until >= w.Began {
			a.out.Wants++
			return a.exec("UPDATE wants SET live = $4, seq = $5, mint = $6, rate = $7, duration_s = $8, until_at = $9 "+
				"WHERE customer = $1 AND slot = $2 AND began_at = $3", w.Customer, w.Slot, old.Began,
				bit(w.Until > a.now), w.Seq, w.Mint, w.Rate, w.DurationSec, w.Until)
		}
		err := a.exec("UPDATE wants SET live = 0, seq = $4, until_at = $5 WHERE customer = $1 AND slot = $2 AND "+
			"began_at = $3", w.Customer, w.Slot, old.Began, w.Seq, min(old.Until, w.Began))
		if err != nil {
			return err
		}
		w.Began = max(w.Began, old.Began+1)
	}
	if w.Devices == 0 {
		return nil // only that it is over is told
	}
	a.touched[Gossip] = true
	a.out.Wants++
	return a.insert("wants", "customer, slot, began_at, class, lead, live, seq, classes, devices, mint, rate, "+
		"duration_s, until_at", "", len(w.Classes), func(i int) []any {
		return []any{w.Customer, w.Slot, w.Began, w.Classes[i], bit(i == 0), bit(w.Until > a.now), w.Seq,
			strings.Join(w.Classes, " "), w.Devices, w.Mint, w.Rate, w.DurationSec, w.Until}
	})
}

// wantedAt is since when a lease's customer had asked for its model when it got it, 0: not known.
func (a *applying) wantedAt(l Lease) (began int64, err error) {
	err = a.QueryRowContext(a.ctx,
		"SELECT began_at FROM wants WHERE customer = $1 AND class = $2 AND began_at <= $3 AND "+
			"until_at >= $3 ORDER BY began_at DESC LIMIT 1", l.Customer, l.Class, l.Accepted).Scan(&began)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read wants: %w", err)
	}
	return began, nil
}

// WantQuery asks for live Wants by customer and slot; Class "": of all models. After is where the page before ended.
type WantQuery struct {
	Class         string
	AfterCustomer string
	AfterSlot     int64
	Limit         int
}

// Wants are those that a query asks for.
func (d *Reads) Wants(ctx context.Context, q WantQuery) ([]Want, error) {
	which, args := "lead = 1", []any{q.AfterCustomer, q.AfterSlot, q.Limit}
	if q.Class != "" {
		which, args = "class = $4", append(args, q.Class)
	}
	return list(ctx, d, scanWant, "SELECT "+wantColumns+" FROM wants WHERE live = 1 AND "+which+
		" AND (customer, slot) > ($1, $2) ORDER BY customer, slot LIMIT $3", args...)
}

// Bids are the live Wants of one model.
type Bids struct {
	Class  string
	Wanted int64 // devices
	N      int64
	Levels []Bid // of one mint after the other; those that name no price first, then the highest, at most 200
}

// Bid is what is wanted at one price; Rate 0: at any.
type Bid struct {
	Mint           string
	Rate           int64
	Devices, Wants int64
}

// sumWants sums the bid side of all models.
func (d *DB) sumWants(ctx context.Context, m *Market) error {
	return scan(ctx, d.read, func(s scanner) error {
		var class string
		var b Bid
		if err := s.Scan(&class, &b.Mint, &b.Rate, &b.Devices, &b.Wants); err != nil {
			return err
		}
		if n := len(m.Bids); n == 0 || m.Bids[n-1].Class != class {
			m.Bids = append(m.Bids, Bids{Class: class})
		}
		of := &m.Bids[len(m.Bids)-1]
		of.Wanted += b.Devices
		of.N += b.Wants
		if len(of.Levels) < maxLevels {
			of.Levels = append(of.Levels, b)
		}
		return nil
	}, "SELECT class, mint, rate, SUM(devices), COUNT(*) FROM wants WHERE live = 1 GROUP BY class, mint, rate "+
		"ORDER BY class, mint, CASE rate WHEN 0 THEN 0 ELSE 1 END, rate DESC")
}

// Bid is the bid side of a model, none: nobody wants it.
func (m *Market) Bid(class string) Bids {
	i, ok := slices.BinarySearchFunc(m.Bids, class, func(b Bids, c string) int { return cmp.Compare(b.Class, c) })
	if !ok {
		return Bids{Class: class}
	}
	return m.Bids[i]
}
