package rig

import (
	"context"
	"slices"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/gpu"
	"github.com/gpuai/gpuai/runtime/job"
)

// How often released devices are looked at, and quarantined ones: from every first time on twice as long, up to the
// last.
const (
	clearEvery      = 2 * time.Second
	quarantineEvery = time.Minute
	retryFirst      = 5 * time.Minute
	retryLast       = 24 * time.Hour
)

// HandOver looks at GPUs between two leases: *gpu.HandOver.
type HandOver interface {
	Learn(ctx context.Context, uuids []string) error
	Idle(uuids []string) []gpu.Idle
	Left(ctx context.Context, idle []gpu.Idle) (string, error)
}

// uuidsOf are the devices among ids that can hold something of a lease; the CPU slot holds nothing once no process
// lives.
func (t *table) uuidsOf(ids []market.DeviceID) (out []string) {
	for i, d := range t.devices {
		if d.Kind != gpu.KindCPU && slices.Contains(ids, t.ids[i]) {
			out = append(out, d.UUID)
		}
	}
	return out
}

// idleOf is the measure for the hand-over of a lease's devices, nil where nothing is to be measured.
func (r *Rig) idleOf(ids []market.DeviceID) []gpu.Idle {
	uuids := r.table.uuidsOf(ids)
	if r.deps.HandOver == nil || len(uuids) == 0 {
		return nil
	}
	return r.deps.HandOver.Idle(uuids)
}

// cleaner looks at devices that nobody has: before anything is sold, and while they are in quarantine.
type cleaner struct{ *Rig }

// learn looks at the devices that nobody has, before anything is sold.
func (r cleaner) learn(ctx context.Context) {
	if r.deps.HandOver == nil {
		return
	}
	var free []market.DeviceID
	r.mu.Lock()
	for _, id := range r.table.ids {
		if r.table.rows[id].State == Free {
			free = append(free, id)
		}
	}
	r.mu.Unlock()
	if err := r.deps.HandOver.Learn(ctx, r.table.uuidsOf(free)); err != nil && ctx.Err() == nil {
		r.deps.Log.Warn("Idle GPUs were not measured: only processes will show what a lease leaves", "error", err)
	}
}

// Clear reports whether the devices of a lease look as before it; it looks every clearEvery, and says in between what
// it saw last. The lease's own deadline makes what stays a quarantine.
func (r *Rig) Clear(ctx context.Context, lease market.LeaseID) bool {
	if r.deps.HandOver == nil {
		return true
	}
	r.mu.Lock()
	cl := r.table.claims[lease]
	var idle []gpu.Idle
	var early bool
	if cl != nil {
		idle, early = r.table.before(cl.Devices), time.Now().Before(cl.lookAgain)
	}
	r.mu.Unlock()
	if len(idle) == 0 || early {
		return len(idle) == 0
	}
	why, err := r.deps.HandOver.Left(ctx, idle)
	if err != nil {
		why = err.Error()
	}
	r.mu.Lock()
	news := why != cl.left
	cl.lookAgain, cl.left = time.Now().Add(clearEvery), why
	r.mu.Unlock()
	if why != "" && news && ctx.Err() == nil {
		r.deps.Log.Warn("Devices are not clear", "code", market.CodeDeviceStuck, "lease", lease, "detail", why)
	}
	return why == ""
}

// before is how these devices looked before their lease, as far as that is known.
func (t *table) before(ids []market.DeviceID) (out []gpu.Idle) {
	for _, id := range ids {
		if x, ok := t.idle[id]; ok {
			out = append(out, x)
		}
	}
	return out
}

// again is when a quarantined device is looked at next, and how long was waited for it.
type again struct {
	at   time.Time
	wait time.Duration
}

// loop gives back devices that became clear after all.
func (r cleaner) loop(ctx context.Context) {
	due := map[market.DeviceID]again{}
	tick := time.NewTicker(quarantineEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		for _, id := range r.table.ids {
			r.mu.Lock()
			row := r.table.rows[id]
			r.mu.Unlock()
			a, known := due[id]
			switch {
			case row.State != Quarantined:
				delete(due, id)
			case !known:
				due[id] = again{now.Add(retryFirst), retryFirst}
			case now.Before(a.at):
			case r.clearNow(ctx, id, row):
				delete(due, id)
				if err := r.end(ctx, id, row); err != nil && ctx.Err() == nil {
					r.deps.Log.Warn("Device stays in quarantine", "device", id, "error", err)
				}
			default:
				a.wait = min(2*a.wait, retryLast)
				due[id] = again{now.Add(a.wait), a.wait}
			}
		}
	}
}

// clearNow reports whether neither a process of the device's last lease nor anything on the device is left.
func (r cleaner) clearNow(ctx context.Context, id market.DeviceID, row Row) bool {
	if row.Lease != (market.LeaseID{}) {
		o, err := r.deps.Runner.Observe(ctx, job.Key{Lease: row.Lease})
		if err != nil || o.State != job.Exited && o.State != job.Absent && o.State != job.FailedState {
			return false
		}
	}
	idle := r.idleOf([]market.DeviceID{id})
	r.mu.Lock()
	if before := r.table.before([]market.DeviceID{id}); len(before) > 0 {
		idle = before
	}
	r.mu.Unlock()
	if len(idle) == 0 || r.deps.HandOver == nil {
		return true
	}
	why, err := r.deps.HandOver.Left(ctx, idle)
	return err == nil && why == ""
}

func (r cleaner) end(ctx context.Context, id market.DeviceID, old Row) error {
	next := Row{State: Free, Generation: old.Generation}
	err := r.deps.Store.Commit(ctx, store.Change{Guards: []store.Guard{guardRow(id, old)},
		Puts: []store.Put{putRow(id, next)}})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.table.set(id, next)
	r.mu.Unlock()
	r.Changed()
	r.deps.Log.Info("Device is clear and sold again", "device", id)
	return nil
}
