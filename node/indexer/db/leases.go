package db

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
)

// Lease is how a lease ended, as both sides signed it; ByProvider and ByCustomer are the signed documents. Times are
// unix milliseconds, 0: never. Amount is of the deal's mint.
type Lease struct {
	ID string
	Deal
	Accepted, Ready, Ended int64
	BillableMS, Amount     int64
	Code                   string
	Fault                  int64  // market.Fault
	Outputs                string // hex, "": it left none
	ByProvider, ByCustomer []byte
	FirstAt                int64 // this index heard it
	WantedAt               int64 // since when its customer had asked for it, as gossip told; 0: not known
	Settled                Settled
}

// Deal is between whom a lease was, of what, and for how much: Rate is per device and hour in the mint. Bind is the
// voucher key's signature for the customer, see market.Proposal; empty: not said.
type Deal struct {
	Class, Mint           string
	Devices, Rate         int64
	Provider, Customer    string
	Channel, Payer, Payee string
	Bind                  []byte
}

// Settled is what the chain says of a lease's money.
type Settled int64

// A lease is Covered if its channel is the one that it names (payer, payee, mint, open by then), if the channel's
// voucher key signed for the customer, and if what the channel has settled covers it and all others of the channel that
// ended before, by (end, id, provider, customer).
const (
	SettledUnknown Settled = iota // the channel is not in the index
	SettledForeign                // the channel is not theirs: it never counts
	SettledNot                    // not yet
	SettledCovered
)

const leaseColumns = "id, class, mint, devices, rate, provider, customer, channel, payer, payee, accepted_at, " +
	"ready_at, " +
	"ended_at, billable_ms, amount, code, fault, outputs, bind, by_provider, by_customer, first_at, wanted_at, settled"

func scanLease(s scanner) (l Lease, err error) {
	err = s.Scan(&l.ID, &l.Class, &l.Mint, &l.Devices, &l.Rate, &l.Provider, &l.Customer, &l.Channel, &l.Payer,
		&l.Payee, &l.Accepted, &l.Ready, &l.Ended, &l.BillableMS, &l.Amount, &l.Code, &l.Fault, &l.Outputs, &l.Bind,
		&l.ByProvider, &l.ByCustomer, &l.FirstAt, &l.WantedAt, &l.Settled)
	return l, err
}

// termColumns are a lease without what was signed: all that its money and its price need.
const termColumns = "id, class, mint, devices, rate, provider, customer, channel, payer, payee, accepted_at, " +
	"ready_at, " +
	"ended_at, billable_ms, amount, bind, settled"

func scanTerms(s scanner) (l Lease, err error) {
	err = s.Scan(&l.ID, &l.Class, &l.Mint, &l.Devices, &l.Rate, &l.Provider, &l.Customer, &l.Channel, &l.Payer,
		&l.Payee,
		&l.Accepted, &l.Ready, &l.Ended, &l.BillableMS, &l.Amount, &l.Bind, &l.Settled)
	return l, err
}

// Key names a lease and who signed it: others may sign for the same id.
func (l Lease) Key() [3]string { return [3]string{l.ID, l.Provider, l.Customer} }

// Before orders the documents that the same two signed for one lease: the first one counts, whichever came first.
func (l Lease) Before(other Lease) bool {
	if l.Amount != other.Amount {
		return l.Amount < other.Amount
	}
	return bytes.Compare(slices.Concat(l.ByProvider, l.ByCustomer),
		slices.Concat(other.ByProvider, other.ByCustomer)) < 0
}

// leases writes those that are not there.
func (a *applying) leases(list []Lease) error {
	for part := range slices.Chunk(list, maxRows) {
		if err := a.leasesPart(part); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) leasesPart(list []Lease) error {
	list, err := a.room(list)
	if err != nil || len(list) == 0 {
		return err
	}
	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ID
	}
	held := map[[3]string]Lease{}
	places, args := a.in(ids)
	err = scan(a.ctx, a.Tx, func(s scanner) error {
		l, err := scanLease(s)
		held[l.Key()] = l
		return err
	}, "SELECT "+leaseColumns+" FROM leases WHERE id IN "+places, args...)
	if err != nil {
		return err
	}
	var rows []Lease
	for _, l := range list {
		old, known := held[l.Key()]
		if known && !l.Before(old) {
			continue
		}
		l.FirstAt, l.Settled = a.now, SettledUnknown
		if known {
			l.FirstAt = old.FirstAt
			a.due(old)
		}
		if l.WantedAt, err = a.wantedAt(l); err != nil {
			return err
		}
		a.due(l)
		rows = append(rows, l)
		a.unsettled[l.Channel] = true
		if known {
			continue // it is a better document of what was told
		}
		a.happens("lease", map[string]any{"schema": "gpuai.lease-event/v1", "lease": l.ID, "slug": l.Class,
			"provider": l.Provider, "customer": l.Customer, "code": l.Code, "ended_at": l.Ended})
	}
	if len(rows) == 0 {
		return nil
	}
	a.touched[Signed] = true
	a.out.Leases += len(rows)
	return a.putLeases(rows)
}

// maxUnbacked is how many leases are kept whose channel is not known or is not theirs, unbackedKept for how long: they
// cost nobody anything to make up.
const (
	maxUnbacked  = 100_000
	unbackedKept = 2 * day
)

// room leaves out leases that find none. Those that a channel stands for have room of their own: what strangers make up
// takes none of it. What nobody has paid for is forgotten after two days.
func (a *applying) room(list []Lease) ([]Lease, error) {
	done, err := a.ExecContext(a.ctx, "DELETE FROM leases WHERE settled <= $1 AND ended_at < $2", int64(SettledForeign),
		a.now-unbackedKept)
	if err != nil {
		return nil, fmt.Errorf("forget leases: %w", err)
	}
	if n, err := done.RowsAffected(); err != nil {
		return nil, fmt.Errorf("forget leases: %w", err)
	} else if n > 0 {
		a.touched[Signed] = true
	}
	count := func(where string, args ...any) (n int, err error) {
		if err = a.QueryRowContext(a.ctx, "SELECT COUNT(*) FROM leases WHERE "+where, args...).Scan(&n); err != nil {
			err = fmt.Errorf("count leases: %w", err)
		}
		return n, err
	}
	unbacked, err := count("settled <= $1", int64(SettledForeign))
	if err != nil {
		return nil, err
	}
	channels, err := channelsOf(a, list)
	if err != nil {
		return nil, err
	}
	type of struct {
		channel string
		backed  bool
	}
	counts := map[of]int{}
	var out []Lease
	for _, l := range list {
		in := of{l.Channel, backed(channels, l)}
		n, counted := counts[in]
		if !counted {
			if n, err = count("channel = $1 AND (settled > $2) = $3", l.Channel, int64(SettledForeign),
				in.backed); err != nil {
				return nil, err
			}
		}
		if counts[in] = n; n >= maxOfChannel || !in.backed && unbacked >= maxUnbacked {
			a.out.Refused++
			continue
		}
		counts[in]++
		unbacked += int(bit(!in.backed))
		out = append(out, l)
	}
	return out, nil
}

// channelsOf are those channels of leases that the index knows.
func channelsOf(a *applying, list []Lease) (map[string]Channel, error) {
	keys := make([]string, len(list))
	for i, l := range list {
		keys[i] = l.Channel
	}
	places, args := a.in(keys)
	all, err := rowsOf(a, scanChannel, "SELECT "+channelColumns+" FROM channels WHERE id IN "+places, args...)
	out := map[string]Channel{}
	for _, c := range all {
		out[c.ID] = c
	}
	return out, err
}

// backed reports that a lease's channel is there and is theirs.
func backed(channels map[string]Channel, l Lease) bool {
	c, known := channels[l.Channel]
	l.Settled = SettledUnknown
	return known && covers(c, []Lease{l})[0] > SettledForeign
}

func (a *applying) putLeases(rows []Lease) error {
	var set []string
	for c := range strings.SplitSeq(leaseColumns, ", ") {
		set = append(set, c+" = excluded."+c)
	}
	return a.insert("leases", leaseColumns, "ON CONFLICT (id, provider, customer) DO UPDATE SET "+
		strings.Join(set, ", "), len(rows), func(i int) []any {
		l := rows[i]
		return []any{l.ID, l.Class, l.Mint, l.Devices, l.Rate, l.Provider, l.Customer, l.Channel, l.Payer, l.Payee,
			l.Accepted, l.Ready, l.Ended, l.BillableMS, l.Amount, l.Code, l.Fault, l.Outputs, some(l.Bind),
			some(l.ByProvider), some(l.ByCustomer), l.FirstAt, l.WantedAt, int64(l.Settled)}
	})
}

// some is b, never nil: no column is NULL.
func some(b []byte) []byte { return append([]byte{}, b...) }

// maxOfChannel is how many leases are kept that a channel stands for, and how many that only name it.
const maxOfChannel = 10_000

// openSkew is how long before its channel a lease may have begun: two clocks tell.
const openSkewMS = 120_000

// settle says anew which leases of the channels that have changed are covered.
func (a *applying) settle() error {
	changed := map[Settled][]Lease{}
	ids, err := leased(a)
	if err != nil {
		return err
	}
	for _, id := range ids {
		all, err := rowsOf(a, scanChannel, "SELECT "+channelColumns+" FROM channels WHERE id = $1", id)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			continue
		}
		leases, err := rowsOf(a, scanTerms, "SELECT "+termColumns+" FROM leases WHERE channel = $1 AND settled <> $2 "+
			"ORDER BY ended_at, id, provider, customer", id, int64(SettledForeign)) // bounded by room
		if err != nil {
			return err
		}
		for i, now := range covers(all[0], leases) {
			if l := leases[i]; l.Settled != now {
				changed[now] = append(changed[now], l)
				a.due(l)
				a.touched[Signed] = true
			}
		}
	}
	for now, list := range changed {
		for part := range slices.Chunk(list, maxRows) {
			if err := a.setSettled(part, now); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) setSettled(list []Lease, now Settled) error {
	var b strings.Builder
	fmt.Fprintf(&b, "UPDATE leases SET settled = %d WHERE (id, provider, customer) IN (VALUES ", now)
	var args []any
	for i, l := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		a.places(&b, len(args), 3)
		args = append(args, l.ID, l.Provider, l.Customer)
	}
	return a.exec(b.String()+")", args...)
}

// leased are the unsettled channels that have leases, in their order: most have none.
func leased(a *applying) (out []string, err error) {
	for part := range slices.Chunk(slices.Sorted(maps.Keys(a.unsettled)), maxRows) {
		places, args := a.in(part)
		ids, err := rowsOf(a, func(s scanner) (id string, err error) { err = s.Scan(&id); return id, err },
			"SELECT DISTINCT channel FROM leases WHERE channel IN "+places+" ORDER BY channel", args...)
		if err != nil {
			return nil, err
		}
		out = append(out, ids...)
	}
	return out, nil
}

func rowsOf[T any](a *applying, one func(scanner) (T, error), q string, args ...any) (out []T, err error) {
	err = scan(a.ctx, a.Tx, func(s scanner) error {
		v, err := one(s)
		out = append(out, v)
		return err
	}, q, args...)
	return out, err
}

// covers says of the leases of a channel, in their order, what its money says of them.
func covers(c Channel, leases []Lease) []Settled {
	out := make([]Settled, len(leases))
	left := c.Settled
	for i, l := range leases {
		out[i] = SettledForeign
		theirs := l.Payer == c.Payer && l.Payee == c.Payee && l.Mint == c.Mint &&
			l.Accepted >= c.OpenedAt*1000-openSkewMS && l.Settled != SettledForeign &&
			(l.Settled != SettledUnknown || bound(c, l))
		switch {
		case c.VoucherKey == "":
			out[i] = SettledUnknown
		case theirs && l.Amount <= left:
			left -= l.Amount
			out[i] = SettledCovered
		case theirs:
			left = min(left, 0) // those that ended later come after it
			out[i] = SettledNot
		}
	}
	return out
}

// bound reports that the channel's voucher key signed for the lease's customer.
func bound(c Channel, l Lease) bool {
	key, err := market.ParseAddress(c.VoucherKey)
	id, err2 := market.ParseAddress(l.Channel)
	customer, err3 := market.ParseNodeID(l.Customer)
	if err != nil || err2 != nil || err3 != nil || len(l.Bind) != ed25519.SignatureSize {
		return false
	}
	return escrow.Bound(key, customer, market.ChannelID(id), [64]byte(l.Bind))
}

// LeaseQuery asks for leases, the newest end first; what is empty does not matter. After is where the page before
// ended.
type LeaseQuery struct {
	Class, Provider, Customer, Wallet, Channel string
	Least                                      Settled // and what is more
	After                                      *Lease
	Limit                                      int
}

// Leases are those that a query asks for.
func (d *Reads) Leases(ctx context.Context, q LeaseQuery) ([]Lease, error) {
	a := asked{text: "SELECT " + leaseColumns + " FROM leases WHERE ended_at >= 0"}
	for column, v := range map[string]string{"class": q.Class, "provider": q.Provider, "customer": q.Customer,
		"channel": q.Channel} {
		if v != "" {
			a.where(column+" = ?", v)
		}
	}
	if q.Least > SettledUnknown {
		a.where("settled >= ?", int64(q.Least))
	}
	if q.Wallet != "" {
		a.where("(payer = ? OR payee = ?)", q.Wallet, q.Wallet)
	}
	if l := q.After; l != nil {
		a.where("(ended_at, id, provider, customer) < (?, ?, ?, ?)", l.Ended, l.ID, l.Provider, l.Customer)
	}
	a.add(" ORDER BY ended_at DESC, id DESC, provider DESC, customer DESC LIMIT ?", q.Limit)
	return list(ctx, d, scanLease, a.text, a.args...)
}

// Lease is the one of an id; of several by other signers that whose money the chain shows, then the first by signers.
// Error: not-found.
func (d *Reads) Lease(ctx context.Context, id string) (Lease, error) {
	all, err := list(ctx, d, scanLease, "SELECT "+leaseColumns+" FROM leases WHERE id = $1 ORDER BY "+
		"CASE settled WHEN 3 THEN 0 WHEN 2 THEN 1 WHEN 0 THEN 2 ELSE 3 END, provider, customer LIMIT 1", id)
	return only(all, err, "lease")
}

// End counts the leases of a provider that ended in one way.
type End struct {
	Code  string
	Fault int64
	N     int64
}

// Ends of a provider's leases whose channel is theirs, the most frequent first, at most 100.
func (d *Reads) Ends(ctx context.Context, provider string) ([]End, error) {
	return list(ctx, d, func(s scanner) (e End, err error) {
		err = s.Scan(&e.Code, &e.Fault, &e.N)
		return e, err
	}, "SELECT code, fault, COUNT(*) FROM leases WHERE provider = $1 AND settled >= $2 GROUP BY code, fault ORDER "+
		"BY COUNT(*) "+
		"DESC, code, "+
		"fault LIMIT 100", provider, int64(SettledNot))
}
