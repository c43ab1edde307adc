package provider

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
func (p *Provider) uuidsOf(ids []market.DeviceID) (out []string) {
	for i, d := range p.devices {
		if d.Kind != gpu.KindCPU && slices.Contains(ids, p.deviceIDs[i]) {
			out = append(out, d.UUID)
		}
	}
	return out
}

// idleOf is the measure for the hand-over of a lease's devices, nil where nothing is to be measured.
func (p *Provider) idleOf(ids []market.DeviceID) []gpu.Idle {
	uuids := p.uuidsOf(ids)
	if p.handOver == nil || len(uuids) == 0 {
		return nil
	}
	return p.handOver.Idle(uuids)
}

// learnIdle looks at the devices that nobody has, before anything is sold.
func (p *Provider) learnIdle(ctx context.Context) {
	if p.handOver == nil {
		return
	}
	var free []market.DeviceID
	p.mu.Lock()
	for _, id := range p.deviceIDs {
		if p.rows[id].State == devFree {
			free = append(free, id)
		}
	}
	p.mu.Unlock()
	if err := p.handOver.Learn(ctx, p.uuidsOf(free)); err != nil && ctx.Err() == nil {
		p.log.Warn("Idle GPUs were not measured: only processes will show what a lease leaves", "error", err)
	}
}

// released says that no process of the job lives, and that the devices are clear once they are; the machine's own
// deadline makes what stays a quarantine.
func (l *leaseRun) released(ctx context.Context, m market.Lease, send func(market.Event)) {
	if !m.Gone {
		send(market.JobGone{})
	}
	if l.devicesClear(ctx) {
		send(market.DevicesClear{})
	}
}

func (l *leaseRun) devicesClear(ctx context.Context) bool {
	l.mu.Lock()
	idle := l.row.Idle
	l.mu.Unlock()
	if l.p.handOver == nil || len(idle) == 0 {
		return true
	}
	if time.Now().Before(l.lookAgain) {
		return false
	}
	why, err := l.p.handOver.Left(ctx, idle)
	l.lookAgain = time.Now().Add(clearEvery)
	if err != nil {
		why = err.Error()
	}
	if why != "" && why != l.left && ctx.Err() == nil {
		l.p.log.Warn("Devices are not clear", "code", "device-stuck", "lease", l.id, "detail", why)
	}
	l.left = why
	return why == ""
}

// retry is when a quarantined device is looked at again.
type retry struct {
	at   time.Time
	wait time.Duration
}

// quarantineLoop gives back devices that became clear after all.
func (p *Provider) quarantineLoop(ctx context.Context) {
	due := map[market.DeviceID]retry{}
	for sleep(ctx, quarantineEvery) == nil {
		now := time.Now()
		for _, id := range p.deviceIDs {
			p.mu.Lock()
			row := p.rows[id]
			p.mu.Unlock()
			r, known := due[id]
			switch {
			case row.State != devQuarantined:
				delete(due, id)
			case !known:
				due[id] = retry{now.Add(retryFirst), retryFirst}
			case now.Before(r.at):
			case p.clearNow(ctx, id, row):
				delete(due, id)
				if err := p.endQuarantine(ctx, id, row); err != nil && ctx.Err() == nil {
					p.log.Warn("Device stays in quarantine", "device", id, "error", err)
				}
			default:
				r.wait = min(2*r.wait, retryLast)
				due[id] = retry{now.Add(r.wait), r.wait}
			}
		}
	}
}

// clearNow reports whether neither a process of the device's last lease nor anything on the device is left.
func (p *Provider) clearNow(ctx context.Context, id market.DeviceID, row deviceRow) bool {
	idle := p.idleOf([]market.DeviceID{id})
	p.mu.Lock()
	l := p.leases[row.Lease]
	p.mu.Unlock()
	if l != nil {
		o, err := p.runner.Observe(ctx, l.key)
		if err != nil || o.State != job.Exited && o.State != job.Absent && o.State != job.FailedState {
			return false
		}
		l.mu.Lock()
		for _, d := range l.row.Idle {
			if len(idle) == 1 && d.UUID == idle[0].UUID {
				idle[0] = d
			}
		}
		l.mu.Unlock()
	}
	if len(idle) == 0 {
		return true
	}
	why, err := p.handOver.Left(ctx, idle)
	return err == nil && why == ""
}

func (p *Provider) endQuarantine(ctx context.Context, id market.DeviceID, old deviceRow) error {
	next := old
	next.State, next.Lease = devFree, market.LeaseID{}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.db.Commit(ctx, store.Change{
		Guards: []store.Guard{{Bucket: bucketDevices, Key: id[:], Want: row(old)}},
		Puts:   []store.Put{{Bucket: bucketDevices, Key: id[:], Value: row(next)}},
	})
	if err != nil {
		return err
	}
	p.rows[id] = next
	p.offerChanged()
	p.log.Info("Device is clear and sold again", "device", id)
	return nil
}
