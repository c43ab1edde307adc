package provider

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gpuai/gpuai/escrow"
	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
)

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

// leaseFacts are what the sums need of a lease beside its share.
type leaseFacts struct {
	run     *leaseRun
	began   time.Time
	ended   time.Time
	ms      uint64
	devices []market.DeviceID
	ran     bool
}

// factsOf reads the leases of a channel, oldest first. One whose row is gone is booked on no device.
func (p *Provider) factsOf(a *escrow.Account) ([]market.LeaseID, map[market.LeaseID]leaseFacts) {
	facts := make(map[market.LeaseID]leaseFacts, len(a.Leases))
	p.mu.Lock()
	for id := range a.Leases {
		f := leaseFacts{devices: []market.DeviceID{{}}}
		if l := p.leases[id]; l != nil {
			m := l.actor.Lease()
			f = leaseFacts{run: l, began: m.Accepted, ended: m.Ended, ms: m.Meter.BillableMS, devices: l.quote.Devices,
				ran: !m.Ready.IsZero()}
		}
		facts[id] = f
	}
	p.mu.Unlock()
	order := slices.SortedFunc(maps.Keys(facts), func(x, y market.LeaseID) int {
		return cmp.Or(facts[x].began.Compare(facts[y].began), slices.Compare(x[:], y[:]))
	})
	return order, facts
}

// soldJob is one lease that was booked as over and paid just now.
type soldJob struct {
	run    *leaseRun
	amount market.Amount
	ms     uint64
}

// book books all that is earned on the channel, in the same Change, and returns the jobs that are paid with it. A
// repeat adds nothing. Called in a channel's entry, once.
func (p *Provider) book(e *entry) (jobs []soldJob) {
	adds, jobs := p.booking(e)
	if len(adds) == 0 {
		return jobs
	}
	p.sumsMu.Lock()
	for k, add := range adds {
		p.sums[k] = p.sums[k].plus(add)
	}
	p.sumsMu.Unlock()
	e.Add(func(c *store.Change) {
		p.sumsMu.Lock()
		defer p.sumsMu.Unlock()
		for k := range adds {
			c.Puts = append(c.Puts, store.Put{Bucket: bucketEarned, Key: k.bytes(), Value: row(p.sums[k])})
		}
	})
	return jobs
}

// booking brings the entry's bookings up to date, and returns what that adds to the sums and the jobs that are paid.
func (p *Provider) booking(e *entry) (adds map[sumKey]sumRow, jobs []soldJob) {
	order, facts := p.factsOf(&e.Account)
	had := e.Own.booked()
	next := maps.Clone(had.Leases)
	adds = map[sumKey]sumRow{}
	for id, b := range earnings(&e.Account, &e.Own, order) {
		was, f := had.Leases[id], facts[id]
		b.MS = was.MS
		if b.Over || b.Earned != was.Earned {
			b.MS = max(f.ms, was.MS)
		}
		if b == was {
			continue
		}
		if next == nil {
			next = map[market.LeaseID]booked{}
		}
		next[id] = b
		day := dayOf(p.now())
		if was == (booked{}) && !f.ended.IsZero() {
			day = dayOf(f.ended) // of before this node kept sums
		}
		add := sumRow{MS: b.MS - was.MS, Earned: int64(b.Earned) - int64(was.Earned),
			Settled: int64(b.Settled) - int64(was.Settled)}
		if b.Over && !was.Over && f.ran {
			add.Jobs = 1
		}
		if b.Told && !was.Told && f.ran {
			jobs = append(jobs, soldJob{f.run, b.Earned, b.MS})
		}
		p.spread(adds, day, f.devices, add)
	}
	if !maps.Equal(next, had.Leases) {
		e.Own.Booked = &bookings{Leases: next, Past: had.Past}
	}
	return adds, jobs
}

// spread shares an addition among devices: time counts for each of them, money in equal parts, the rest of the division
// for the first.
func (p *Provider) spread(adds map[sumKey]sumRow, day uint32, devices []market.DeviceID, add sumRow) {
	n := int64(len(devices))
	for i, id := range devices {
		part := sumRow{Class: p.ClassOf(id), Jobs: add.Jobs, MS: add.MS, Earned: add.Earned / n,
			Settled: add.Settled / n}
		if i == 0 {
			part.Earned, part.Settled = part.Earned+add.Earned%n, part.Settled+add.Settled%n
		}
		key := sumKey{day, id}
		adds[key] = adds[key].plus(part)
	}
}

// keep changes a channel's books, books what is earned with them and stores all that. Errors: f's, the store's.
func (p *Provider) keep(ctx context.Context, ch *channel, f func(*entry) error) error {
	var jobs []soldJob
	err := ch.Write(ctx, false, func(e *entry) error {
		if err := f(e); err != nil {
			return err
		}
		jobs = p.book(e)
		return nil
	})
	if err == nil {
		p.tellEarned(jobs)
	}
	return err
}

// tellEarned writes the log lines of jobs that are paid.
func (p *Provider) tellEarned(jobs []soldJob) {
	p.sumsMu.Lock()
	defer p.sumsMu.Unlock()
	for _, j := range jobs {
		p.soldJobs++
		p.sold += j.amount
		if j.run == nil || p.quietly {
			continue
		}
		p.log.Info("Job earned", "lease", j.run.id, "order", j.run.order.Nonce, "customer", j.run.customer, "sol",
			j.amount.SOL(), "ran", time.Duration(j.ms)*time.Millisecond, "devices", len(j.run.quote.Devices))
	}
}

// tellSold says at the end what was earned since the start.
func (p *Provider) tellSold() {
	p.sumsMu.Lock()
	defer p.sumsMu.Unlock()
	p.log.Info("Earned since the start", "sol", p.sold.SOL(), "jobs", p.soldJobs)
}

// loadSums reads the sums, and books what this node earned before it kept them, or before its last end could.
func (p *Provider) loadSums(ctx context.Context) error {
	p.sumsMu.Lock()
	err := p.db.Scan(bucketEarned, nil, func(k, v []byte) error {
		key, r := sumKey{}, sumRow{}
		if len(k) != 4+len(key.device) {
			return fmt.Errorf("sum row %x is of no device", k)
		}
		key.day = binary.BigEndian.Uint32(k)
		copy(key.device[:], k[4:])
		if err := unrow(v, &r); err != nil {
			return err
		}
		p.sums[key] = r
		return nil
	})
	p.quietly = true
	p.sumsMu.Unlock()
	if err != nil {
		return fmt.Errorf("load sums: %w", err)
	}
	p.mu.Lock()
	list := slices.Collect(maps.Values(p.channels))
	p.mu.Unlock()
	for _, ch := range list {
		if err := p.keep(ctx, ch, func(*entry) error { return nil }); err != nil {
			return fmt.Errorf("book earnings: %w", err)
		}
	}
	p.sumsMu.Lock()
	p.quietly, p.sold, p.soldJobs = false, 0, 0
	p.sumsMu.Unlock()
	return nil
}

// Earned is what the rig has brought. Settled is on the chain, Claimable is owed by leases that ended and covered by
// vouchers on disk, Now is the same of leases that run. What is only signed ahead is in none of them.
type Earned struct{ Settled, Claimable, Now market.Amount }

// Total is what is the owner's for good: all but what leases earn now.
func (e Earned) Total() market.Amount { return e.Settled + e.Claimable }

// Earned sums over all that this node ever sold, also where the rows of the leases are gone.
func (p *Provider) Earned() (e Earned) {
	var earned, settled int64
	p.sumsMu.Lock()
	for _, r := range p.sums {
		earned, settled = earned+r.Earned, settled+r.Settled
	}
	p.sumsMu.Unlock()
	e.Settled, e.Claimable = market.Amount(max(settled, 0)), market.Amount(max(earned-settled, 0))
	p.mu.Lock()
	list := slices.Collect(maps.Values(p.channels))
	p.mu.Unlock()
	for _, ch := range list { // the till's lock is never taken under mu
		a, r := ch.See()
		for id, s := range a.Leases {
			if have := min(s.Owed, a.Covered(id)); s.Live && a.Phase < escrow.PhaseSealed {
				e.Now += have - min(have, r.booked().Leases[id].Settled)
			}
		}
	}
	return e
}

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
func (p *Provider) Days(since time.Time) []DayEarned {
	from := dayOf(since)
	if since.IsZero() {
		from = 0
	}
	p.sumsMu.Lock()
	defer p.sumsMu.Unlock()
	out := []DayEarned{}
	for k, r := range p.sums {
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
