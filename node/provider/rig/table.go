package rig

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// State is what a device is doing.
type State uint8

// Device rows, persisted: append-only.
const (
	Free State = iota + 1
	Leased
	Clearing
	Quarantined
	Withdrawn
)

var stateWords = map[State]string{0: "free", Free: "free", Leased: "leased", Clearing: "clearing",
	Quarantined: "quarantined", Withdrawn: "withdrawn"}

func (s State) String() string { return stateWords[s] }

// Row is one device: what the store holds under bucket devices. Idle is how it looked before its lease; rows of older
// nodes have it with the lease.
type Row struct {
	State      State          `json:"State"`
	Lease      market.LeaseID `json:"Lease"`
	Generation uint32         `json:"Generation"`
	Idle       *gpu.Idle      `json:"Idle,omitempty"`
}

func putRow(id market.DeviceID, r Row) store.Put {
	return store.Put{Bucket: store.BucketDevices, Key: id[:], Value: store.Row(r)}
}

// guardRow demands a row as this version writes it: Load has brought it into that form.
func guardRow(id market.DeviceID, r Row) store.Guard {
	return store.Guard{Bucket: store.BucketDevices, Key: id[:], Want: store.Row(r)}
}

// Claim is what a lease takes of the rig. Now is the lease as it stands: memory and disk are its own while it is live,
// the devices until they are freed. Idle is set by leases of older nodes only.
type Claim struct {
	Lease     market.LeaseID
	Devices   []market.DeviceID
	RAM, Disk uint64
	Now       func() market.Lease
	Idle      []gpu.Idle

	lookAgain time.Time // hand-over: when the devices are looked at next, and what was found last
	left      string
}

// table is who has what of the rig. Its owner's lock guards it, and nothing here waits.
type table struct {
	cfg     Config
	devices []gpu.Device
	ids     []market.DeviceID
	rows    map[market.DeviceID]Row
	idle    map[market.DeviceID]gpu.Idle // how a device looked before its lease
	claims  map[market.LeaseID]*Claim
	holds   holds
}

func newTable(cfg Config, devices []gpu.Device) table {
	t := table{cfg: cfg, devices: devices, rows: map[market.DeviceID]Row{}, idle: map[market.DeviceID]gpu.Idle{},
		claims: map[market.LeaseID]*Claim{}, holds: newHolds(len(devices))}
	for _, d := range devices {
		t.ids = append(t.ids, d.ID())
	}
	return t
}

// room checks the order's sizes against what is lent out: cores by the whole rig, they are shared; memory and disk by
// what live leases and other orders' holds leave. Refusals: does-not-fit, with the field; busy if it would fit an empty
// rig.
func (t *table) room(a Ask, now time.Time) error {
	o := a.Order
	ram, disk := o.RAM, o.Disk
	holds := t.others(a)
	for _, h := range holds {
		ram, disk = ram+h.ram, disk+h.disk
	}
	for _, c := range t.claims {
		if c.Now().State.Live() {
			ram, disk = ram+c.RAM, disk+c.Disk
		}
	}
	switch {
	case o.CPUMilli > t.cfg.CPUMilli:
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict,
			fmt.Sprintf("cpu: %d of %d milli-cores", o.CPUMilli, t.cfg.CPUMilli))
	case o.RAM > t.cfg.RAM:
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict,
			fmt.Sprintf("ram: %d of %d MiB", o.RAM>>20, t.cfg.RAM>>20))
	case o.Disk > t.cfg.Disk:
		return market.Refuse(market.CodeDoesNotFit, market.KindConflict,
			fmt.Sprintf("disk: %d of %d MiB", o.Disk>>20, t.cfg.Disk>>20))
	case ram > t.cfg.RAM:
		return t.rented(fmt.Sprintf("ram: %d MiB with other jobs, of %d", ram>>20, t.cfg.RAM>>20), t.ids, len(t.ids),
			holds, now)
	case disk > t.cfg.Disk:
		return t.rented(fmt.Sprintf("disk: %d MiB with other jobs, of %d", disk>>20, t.cfg.Disk>>20), t.ids,
			len(t.ids), holds, now)
	}
	return nil
}

// freeAt is when n of these devices are free at the latest, by the holds on them and by the ends of their leases; zero:
// not known.
func (t *table) freeAt(devices []market.DeviceID, n int, holds []*hold, now time.Time) time.Time {
	ends := map[market.DeviceID]time.Time{}
	for _, c := range t.claims {
		if m := c.Now(); m.State < market.Closing {
			for _, d := range c.Devices {
				ends[d] = lastEnd(m, now)
			}
		}
	}
	for _, h := range holds {
		for _, d := range h.devices {
			ends[d] = later(ends[d], h.until)
		}
	}
	var all []time.Time
	for _, d := range devices {
		switch t.rows[d].State {
		case Quarantined, Withdrawn:
		default:
			all = append(all, later(ends[d], now))
		}
	}
	if len(all) < n {
		return time.Time{}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[n-1]
}

// rented is the refusal of an order that would fit if more were free.
func (t *table) rented(what string, devices []market.DeviceID, n int, holds []*hold, now time.Time) error {
	r := market.Refuse(market.CodeBusy, market.KindUnavailable, what)
	if at := t.freeAt(devices, n, holds, now); !at.IsZero() {
		r.RetryAfter = max(at.Sub(now), time.Second)
		r.Detail = fmt.Sprintf("%s, free at %s UTC at the latest", what, at.UTC().Format(time.DateTime))
	}
	return r
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastEnd is when a lease ends at the latest: by its longest time, or where its cap is used up if it runs on without a
// pause.
func lastEnd(m market.Lease, now time.Time) time.Time {
	from := m.Ready
	if from.IsZero() {
		from = m.Accepted.Add(m.Terms.PrepMax)
	}
	end := from.Add(m.Terms.MaxDuration)
	if m.Terms.Rate == 0 {
		return end
	}
	left := min(m.Terms.Rate.Reach(m.Terms.Devices, m.Limit()-min(m.Owed(), m.Limit())), m.Terms.MaxDuration)
	if byCap := later(from, now).Add(left); byCap.Before(end) {
		return byCap
	}
	return end
}

// Hold takes a claim's devices for a lease that is about to be committed: their rows go into c, and stand in memory at
// once, so that of two leases one is refused. done says whether c was committed; until then nobody else gets them.
// Refusal: devices-taken, also if memory or disk were leased meanwhile.
func (r *Rig) Hold(c *store.Change, cl Claim, a Ask, now time.Time) (done func(committed bool), err error) {
	idle := r.idleOf(cl.Devices)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.table.room(a, now); err != nil {
		return nil, market.Refuse(market.CodeDevicesTaken, market.KindUnavailable, "leased meanwhile: "+err.Error())
	}
	was := map[market.DeviceID]Row{}
	for _, id := range cl.Devices {
		row, ok := r.table.rows[id]
		if !ok || row.State != Free {
			return nil, market.Refuse(market.CodeDevicesTaken, market.KindUnavailable, "a device was leased meanwhile")
		}
		was[id] = row
	}
	for id, old := range was {
		next := Row{State: Leased, Lease: cl.Lease, Generation: old.Generation + 1}
		if i := slices.IndexFunc(idle, func(x gpu.Idle) bool { return market.DeviceIDOf(x.UUID) == id }); i >= 0 {
			next.Idle, r.table.idle[id] = &idle[i], idle[i]
		}
		c.Guards, c.Puts = append(c.Guards, guardRow(id, old)), append(c.Puts, putRow(id, next))
		r.table.rows[id] = next
	}
	r.table.claims[cl.Lease] = &cl
	return func(committed bool) {
		if !committed {
			r.mu.Lock()
			for id, old := range was {
				r.table.rows[id] = old
				delete(r.table.idle, id)
			}
			delete(r.table.claims, cl.Lease)
			r.mu.Unlock()
		}
		r.Changed()
	}, nil
}

// Adopt enters a lease of an earlier start. One that gave its devices back takes nothing.
func (r *Rig) Adopt(cl Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range cl.Idle {
		if id := market.DeviceIDOf(x.UUID); r.table.rows[id].Lease == cl.Lease {
			r.table.idle[id] = x
		}
	}
	if r.table.has(cl.Lease) || cl.Now().State < market.Closing {
		r.table.claims[cl.Lease] = &cl
	}
}

// Holders are the leases that have a device.
func (r *Rig) Holders() (out []market.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range r.table.rows {
		if row.State == Leased && !slices.Contains(out, row.Lease) {
			out = append(out, row.Lease)
		}
	}
	return out
}

// Has reports whether a lease has a device.
func (r *Rig) Has(id market.LeaseID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.has(id)
}

func (t *table) has(id market.LeaseID) bool {
	for _, row := range t.rows {
		if row.State == Leased && row.Lease == id {
			return true
		}
	}
	return false
}

// Free gives the devices of a lease back, or quarantines them, and publishes the change. A repeat does nothing. Errors:
// the store's.
func (r *Rig) Free(ctx context.Context, lease market.LeaseID, quarantine bool) error {
	var c store.Change
	next := map[market.DeviceID]Row{}
	r.mu.Lock()
	for id, row := range r.table.rows {
		if row.Lease != lease || row.State != Leased {
			continue
		}
		old := row
		row.State, row.Lease, row.Idle = Free, market.LeaseID{}, nil
		if quarantine { // the lease stays, and how the device looked before it
			row.State, row.Lease = Quarantined, lease
			if idle, ok := r.table.idle[id]; ok {
				row.Idle = &idle
			}
		}
		next[id] = row
		c.Guards, c.Puts = append(c.Guards, guardRow(id, old)), append(c.Puts, putRow(id, row))
	}
	r.mu.Unlock()
	if len(next) > 0 {
		if err := r.deps.Store.Commit(ctx, c); err != nil {
			return err
		}
	}
	r.mu.Lock()
	for id, row := range next {
		r.table.set(id, row)
	}
	delete(r.table.claims, lease)
	r.mu.Unlock()
	r.Changed()
	return nil
}

// set enters a row that is on disk.
func (t *table) set(id market.DeviceID, row Row) {
	t.rows[id] = row
	if row.State == Free {
		delete(t.idle, id)
	}
}

// Devices are what the engine must give to a job of these ids.
func (r *Rig) Devices(ids []market.DeviceID) (out []job.Device) {
	for i, d := range r.table.devices {
		if slices.Contains(ids, r.table.ids[i]) {
			out = append(out, job.Device{Kind: d.Kind, UUID: d.UUID, Minor: d.Minor})
		}
	}
	return out
}

// ClassOf is the class of a device; "" if the rig has no such one.
func (r *Rig) ClassOf(id market.DeviceID) string {
	if i := slices.Index(r.table.ids, id); i >= 0 {
		return r.table.devices[i].Class
	}
	return ""
}
