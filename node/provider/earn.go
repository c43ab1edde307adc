package provider

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

// sums are what devices brought, by day.
//
// mu is taken under the till's lock, never the other way round.
type sums struct {
	*common
	classOf func(market.DeviceID) string

	mu      sync.Mutex
	rows    map[sumKey]sumRow
	sales   map[market.LeaseID]sale // leases with a share in some channel's books
	sold    market.Amount           // since this start
	jobs    int
	quietly bool // while the store is read: no log lines of old jobs
}

func newSums(c *common, classOf func(market.DeviceID) string) *sums {
	return &sums{common: c, classOf: classOf, rows: map[sumKey]sumRow{}, sales: map[market.LeaseID]sale{}}
}

// booked is what of one lease is in the sums already. It lies in the channel's row, so that the fact and the sum are
// one commit.
type booked struct {
	Earned  market.Amount `json:"Earned"`
	Settled market.Amount `json:"Settled"`
	MS      uint64        `json:"MS,omitempty"`
	Over    bool          `json:"Over,omitempty"` // the lease has ended and counts as a job
	Told    bool          `json:"Told,omitempty"` // all that it owes is here, or nothing more comes
}

// bookings are those of a channel, never changed. Past is what the chain has settled for leases whose shares are
// folded: nothing of them is booked any more.
type bookings struct {
	Leases map[market.LeaseID]booked `json:"leases,omitempty"`
	Past   market.Amount             `json:"past,omitempty"`
}

// booked returns the channel's bookings.
func (r *channelRow) booked() bookings {
	if r.Booked == nil {
		return bookings{}
	}
	return *r.Booked
}

// sumKey names one row of the sums: a UTC day, counted from 1970, and a device.
type sumKey struct {
	day    uint32
	device market.DeviceID
}

func (k sumKey) bytes() []byte {
	return append(binary.BigEndian.AppendUint32(nil, k.day), k.device[:]...)
}

// sumRow is what a device brought on a day. Earned holds what leases that ended owe and vouchers cover, and what the
// chain has settled; Settled the latter alone. A day may be negative: a close without the provider's consent settles up
// to half a tick less than was owed.
type sumRow struct {
	Class   string `json:"Class"`
	Jobs    int    `json:"Jobs"`
	MS      uint64 `json:"MS"`
	Earned  int64  `json:"Earned"`
	Settled int64  `json:"Settled"`
}

func (r sumRow) plus(o sumRow) sumRow {
	return sumRow{Class: cmp.Or(o.Class, r.Class), Jobs: r.Jobs + o.Jobs, MS: r.MS + o.MS, Earned: r.Earned + o.Earned,
		Settled: r.Settled + o.Settled}
}

func dayOf(t time.Time) uint32 { return uint32(max(t.Unix(), 0) / 86400) }

// settledOf is what the chain has settled on a channel. One that is gone before its seal was seen was closed by the
// Release, at all that is owed.
func settledOf(a *escrow.Account, r *channelRow) market.Amount {
	if a.Phase == escrow.PhaseGone && r.Release != (wireRelease{}) {
		return max(a.Settled, min(a.OwedSum(), a.Seen))
	}
	return a.Settled
}

// earnings returns what is to be booked of each lease of a channel, in the order given: settled money goes to the
// leases up to what each owes, what is beyond to the last. Nothing that was booked as settled moves to another lease.
func earnings(a *escrow.Account, r *channelRow, order []market.LeaseID) map[market.LeaseID]booked {
	sealed := a.Phase == escrow.PhaseSealed || a.Phase == escrow.PhaseGone
	had := r.booked()
	left := settledOf(a, r)
	left -= min(had.Past, left)
	for _, b := range had.Leases {
		left -= min(b.Settled, left)
	}
	out := make(map[market.LeaseID]booked, len(order))
	for i, id := range order {
		b, s := had.Leases[id], a.Leases[id]
		add := min(left, s.Owed-min(b.Settled, s.Owed))
		if i == len(order)-1 {
			add = left
		}
		left -= add
		b.Settled += add
		b.Earned = b.Settled
		if !sealed && !s.Live {
			b.Earned = max(b.Settled, min(s.Owed, a.Covered(id)))
		}
		b.Over = b.Over || !s.Live
		b.Told = b.Told || b.Over && (sealed || b.Earned >= s.Owed)
		out[id] = b
	}
	return out
}

// sale is what the sums need of a lease beside its share. now is the lease as it stands.
type sale struct {
	lease    market.LeaseID
	order    market.OrderID
	customer market.NodeID
	devices  []market.DeviceID
	now      func() market.Lease
	left     bool // it has left memory: its share may be folded
}

// frozen is a lease that does not change any more, as far as it is counted.
func frozen(m market.Lease) func() market.Lease {
	m = market.Lease{Common: market.Common{Accepted: m.Accepted, Ready: m.Ready, Ended: m.Ended, Meter: m.Meter}}
	return func() market.Lease { return m }
}

// knows reports whether a lease was entered.
func (s *sums) knows(id market.LeaseID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.sales[id]
	return ok
}

// enter makes a lease known whose share is in a channel's books.
func (s *sums) enter(x sale) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sales[x.lease] = x
}

// drop forgets a lease whose share is in no books any more.
func (s *sums) drop(id market.LeaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sales, id)
}

// salesOf are the leases of a channel, oldest first, with what each is now. One that is not known is booked on no
// device.
func (s *sums) salesOf(a *escrow.Account) ([]market.LeaseID, map[market.LeaseID]sale, map[market.LeaseID]market.Lease) {
	sales, now := make(map[market.LeaseID]sale, len(a.Leases)), make(map[market.LeaseID]market.Lease, len(a.Leases))
	s.mu.Lock()
	for id := range a.Leases {
		x, known := s.sales[id]
		if !known {
			x = sale{lease: id, devices: []market.DeviceID{{}}, now: frozen(market.Lease{}), left: true}
		}
		sales[id], now[id] = x, x.now()
	}
	s.mu.Unlock()
	order := slices.SortedFunc(maps.Keys(sales), func(x, y market.LeaseID) int {
		return cmp.Or(now[x].Accepted.Compare(now[y].Accepted), slices.Compare(x[:], y[:]))
	})
	return order, sales, now
}

// soldJob is one lease that was booked as over and paid just now.
type soldJob struct {
	sale
	amount market.Amount
	ms     uint64
}

// book books all that is earned on the channel, in the same Change, and returns the jobs that are paid with it. A
// repeat adds nothing. Called in a channel's entry, once.
func (s *sums) book(e *entry) (jobs []soldJob) {
	adds, jobs := s.booking(e)
	if len(adds) == 0 {
		return jobs
	}
	s.mu.Lock()
	for k, add := range adds {
		s.rows[k] = s.rows[k].plus(add)
	}
	s.mu.Unlock()
	e.Add(func(c *store.Change) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for k := range adds {
			c.Puts = append(c.Puts, store.Put{Bucket: bucketEarned, Key: k.bytes(), Value: store.Row(s.rows[k])})
		}
	})
	return jobs
}

// booking brings the entry's bookings up to date, and returns what that adds to the sums and the jobs that are paid.
func (s *sums) booking(e *entry) (adds map[sumKey]sumRow, jobs []soldJob) {
	order, sales, leases := s.salesOf(&e.Account)
	had := e.Own.booked()
	next := maps.Clone(had.Leases)
	adds = map[sumKey]sumRow{}
	for id, b := range earnings(&e.Account, &e.Own, order) {
		was, m := had.Leases[id], leases[id]
		b.MS = was.MS
		if b.Over || b.Earned != was.Earned {
			b.MS = max(m.Meter.BillableMS, was.MS)
		}
		if b == was {
			continue
		}
		if next == nil {
			next = map[market.LeaseID]booked{}
		}
		next[id] = b
		day := dayOf(s.now())
		if was == (booked{}) && !m.Ended.IsZero() {
			day = dayOf(m.Ended) // of before this node kept sums
		}
		add := sumRow{MS: b.MS - was.MS, Earned: int64(b.Earned) - int64(was.Earned),
			Settled: int64(b.Settled) - int64(was.Settled)}
		if b.Over && !was.Over && !m.Ready.IsZero() {
			add.Jobs = 1
		}
		if b.Told && !was.Told && !m.Ready.IsZero() {
			jobs = append(jobs, soldJob{sales[id], b.Earned, b.MS})
		}
		s.spread(adds, day, sales[id].devices, add)
	}
	folded := s.fold(e, next, sales)
	if folded > 0 || !maps.Equal(next, had.Leases) {
		e.Own.Booked = &bookings{Leases: next, Past: had.Past + folded}
	}
	return adds, jobs
}

// fold takes the shares of leases out of the books that have left memory and of which the chain settles nothing more,
// and returns what it has settled of them. next are the channel's bookings.
func (s *sums) fold(e *entry, next map[market.LeaseID]booked, sales map[market.LeaseID]sale) (settled market.Amount) {
	over := e.Account.Phase == escrow.PhaseSealed || e.Account.Phase == escrow.PhaseGone
	for id, b := range next {
		share := e.Account.Leases[id]
		if sales[id].left && b.Told && !share.Live && (over || b.Settled >= share.Owed) {
			e.Account = e.Account.Fold(id)
			settled += b.Settled
			delete(next, id)
			s.drop(id)
		}
	}
	return settled
}

// spread shares an addition among devices: time counts for each of them, money in equal parts, the rest of the division
// for the first.
func (s *sums) spread(adds map[sumKey]sumRow, day uint32, devices []market.DeviceID, add sumRow) {
	n := int64(len(devices))
	for i, id := range devices {
		part := sumRow{Class: s.classOf(id), Jobs: add.Jobs, MS: add.MS, Earned: add.Earned / n,
			Settled: add.Settled / n}
		if i == 0 {
			part.Earned, part.Settled = part.Earned+add.Earned%n, part.Settled+add.Settled%n
		}
		key := sumKey{day, id}
		adds[key] = adds[key].plus(part)
	}
}

// tell writes the log lines of jobs that are paid.
func (s *sums) tell(jobs []soldJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		s.jobs++
		s.sold += j.amount
		if s.quietly {
			continue
		}
		s.log.Info("Job earned", "lease", j.lease, "order", j.order, "customer", j.customer, "sol",
			j.amount.SOL(), "ran", time.Duration(j.ms)*time.Millisecond, "devices", len(j.devices))
	}
}

// tellSold says at the end what was earned since the start.
func (s *sums) tellSold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Info("Earned since the start", "sol", s.sold.SOL(), "jobs", s.jobs)
}

// load reads the sums. Until begin they are quiet. Errors: the store's.
func (s *sums) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quietly = true
	return s.db.Scan(bucketEarned, nil, func(k, v []byte) error {
		key, r := sumKey{}, sumRow{}
		if len(k) != 4+len(key.device) {
			return fmt.Errorf("sum row %x is of no device", k)
		}
		key.day = binary.BigEndian.Uint32(k)
		copy(key.device[:], k[4:])
		if err := store.Unrow(v, &r); err != nil {
			return err
		}
		s.rows[key] = r
		return nil
	})
}

// begin counts what is sold from now on.
func (s *sums) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quietly, s.sold, s.jobs = false, 0, 0
}

// total is all that was earned, but for leases that run.
func (s *sums) total() (e Earned) {
	var earned, settled int64
	s.mu.Lock()
	for _, r := range s.rows {
		earned, settled = earned+r.Earned, settled+r.Settled
	}
	s.mu.Unlock()
	e.Settled, e.Claimable = market.Amount(max(settled, 0)), market.Amount(max(earned-settled, 0))
	return e
}

// Earned is what the rig has brought. Settled is on the chain, Claimable is owed by leases that ended and covered by
// vouchers on disk, Now is the same of leases that run. What is only signed ahead is in none of them.
type Earned struct{ Settled, Claimable, Now market.Amount }

// Total is what is the owner's for good: all but what leases earn now.
func (e Earned) Total() market.Amount { return e.Settled + e.Claimable }

// DayEarned is one row of the sums. Device is zero where the lease's row was gone.
type DayEarned struct {
	Day             time.Time // midnight UTC
	Device          market.DeviceID
	Class           string
	Jobs            int
	MS              uint64
	Earned, Settled int64 // lamports
}

// Days lists the sums since a day, oldest first.
func (s *sums) Days(since time.Time) []DayEarned {
	from := dayOf(since)
	if since.IsZero() {
		from = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []DayEarned{}
	for k, r := range s.rows {
		if k.day >= from {
			out = append(out, DayEarned{time.Unix(int64(k.day)*86400, 0).UTC(), k.device, r.Class, r.Jobs, r.MS,
				r.Earned, r.Settled})
		}
	}
	slices.SortFunc(out, func(a, b DayEarned) int {
		return cmp.Or(a.Day.Compare(b.Day), slices.Compare(a.Device[:], b.Device[:]))
	})
	return out
}
