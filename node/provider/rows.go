package provider

import (
	"context"

	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/job"
)

// Buckets of this role.
const (
	bucketLeases   = store.BucketLeases
	bucketChannels = store.BucketChannels
	bucketDevices  = store.BucketDevices
	bucketDebts    = store.BucketDebts
	bucketOffers   = store.BucketOffers
	bucketEarned   = store.BucketEarned
)

func row(v any) []byte            { return store.Row(v) }
func unrow(b []byte, v any) error { return store.Unrow(b, v) }

func (p *Provider) put(ctx context.Context, bucket string, key, value []byte, events ...store.Event) error {
	return p.db.Commit(ctx, store.Change{Puts: []store.Put{{Bucket: bucket, Key: key, Value: value}}, Events: events})
}

func (p *Provider) del(ctx context.Context, bucket string, key []byte) error {
	return p.db.Commit(ctx, store.Change{Deletes: []store.Ref{{Bucket: bucket, Key: key}}})
}

// plan is what the engine must run, from the signed documents and the rig's policy.
func (l *leaseRun) plan() job.Plan {
	return job.Plan{
		Spec: l.spec, Image: imageOf(l.order), CPUMilli: max(l.order.CPUMilli, 100), RAM: l.order.RAM,
		Disk: l.order.Disk, Shm: l.order.Shm,
		Egress: l.order.Egress, Resolvers: l.p.cfg.Resolvers, UplinkMbit: l.p.cfg.UplinkMbit,
		FloorRate: l.quote.FloorRate,
		Deadline:  l.actor.Lease().Accepted.Add(l.quote.PrepMax),
		Devices:   l.p.Devices(l.quote.Devices),
	}
}
