package provider

import (
	"context"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/provider/counter"
	"github.com/gpuai/gpuai/node/provider/rig"
)

// released says that no process of the job lives, and that the devices are clear once they are; the machine's own
// deadline makes what stays a quarantine.
func (l *leaseRun) released(ctx context.Context, m market.Lease, send func(market.Event)) {
	if !m.Gone {
		send(market.JobGone{})
	}
	if l.d.rig.Clear(ctx, l.id) {
		send(market.DevicesClear{})
	}
}

// claimed is what the lease takes of the rig.
func (l *leaseRun) claimed() rig.Claim {
	return rig.Claim{Lease: l.id, Devices: l.quote.Devices, RAM: l.order.RAM, Disk: l.order.Disk, Now: l.actor.Lease,
		Idle: l.row.Idle}
}

// visit is what admission counts of the lease.
func (l *leaseRun) visit() counter.Visit {
	return counter.Visit{Lease: l.id, Node: l.customer, Payer: l.order.Payer, Devices: len(l.quote.Devices),
		Now: l.actor.Lease}
}

// sale is what the sums count of the lease.
func (l *leaseRun) sale() sale {
	return sale{lease: l.id, order: l.order.Nonce, customer: l.customer, devices: l.quote.Devices, now: l.actor.Lease}
}
