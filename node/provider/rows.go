package provider

import (
	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/job"
)

// Buckets of this role.
const (
	bucketLeases = store.BucketLeases
	bucketDebts  = store.BucketDebts
	bucketEarned = store.BucketEarned
)

// plan is what the engine must run, from the signed documents and the rig's policy.
func (l *leaseRun) plan() job.Plan {
	return job.Plan{
		Spec: l.spec, Image: imageOf(l.order), CPUMilli: max(l.order.CPUMilli, 100), RAM: l.order.RAM,
		Disk: l.order.Disk, Shm: l.order.Shm,
		Egress: l.order.Egress, Resolvers: l.d.cfg.Lent.Resolvers, UplinkMbit: l.d.cfg.Lent.UplinkMbit,
		FloorRate: l.quote.FloorRate,
		Deadline:  l.actor.Lease().Accepted.Add(l.quote.PrepMax),
		Devices:   l.d.rig.Devices(l.quote.Devices),
	}
}
