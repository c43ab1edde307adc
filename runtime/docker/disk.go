package docker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/docker/docker/api/types"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// How often sizes are asked: usually, and while the disk is nearly full. A call costs the engine a walk over all files
// of all containers and volumes (200,000 files: 2 to 4 s on two busy cores), so it is one call for all leases, and the
// next one waits restFactor times what it took.
const (
	diskEvery  = time.Minute
	lowEvery   = 5 * time.Second
	floorEvery = time.Second
	restFactor = 10
	dfTimeout  = 10 * time.Minute
)

// The floor of free disk: the larger of both.
const (
	floorBytes   = 20 << 30
	floorPercent = 5
)

// disk knows what the jobs of this node hold on disk, and whether the engine's disk is nearly full.
type disk struct {
	*life
	*containers
	log     *slog.Logger
	every   time.Duration // Config.DiskEvery
	least   uint64        // Config.DiskFloor
	once    sync.Once
	crossed chan struct{} // the free disk fell below the floor

	mu     sync.Mutex
	root   string             // of the engine; "" = not known yet
	grants map[job.Key]uint64 // of jobs that may write
	used   map[string]usage   // by lease16, of the last measurement
	free   uint64             // valid once seen
	floor  uint64
	seen   bool
	broken bool // the last measurement failed
}

type usage struct{ now, peak uint64 }

// watch runs from the first need until Close.
func (d *disk) watch() {
	d.once.Do(func() {
		d.wg.Go(func() {
			tick := time.NewTicker(min(d.every, floorEvery))
			defer tick.Stop()
			var next time.Time
			for {
				d.checkFloor(d.ctx)
				if now := time.Now(); d.holds() && !now.Before(next) {
					next = now.Add(d.measure(d.ctx))
				}
				select {
				case <-d.ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	})
}

// checkFloor reads the free space of the engine's disk. Where that cannot be read (an engine elsewhere, no Linux) there
// is no floor.
func (d *disk) checkFloor(ctx context.Context) {
	d.mu.Lock()
	root := d.root
	d.mu.Unlock()
	if root == "" {
		actx, cancel := ask(ctx)
		info, err := d.api.Info(actx)
		cancel()
		if err != nil {
			return
		}
		root = info.DockerRootDir
	}
	free, total, err := statfs(root)
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.low(1)
	if d.root, d.free, d.seen = root, free, err == nil; err != nil {
		return
	}
	if d.floor = d.least; d.floor == 0 {
		d.floor = max(floorBytes, total/100*floorPercent)
	}
	if d.low(1) && !was {
		select {
		case d.crossed <- struct{}{}:
		default:
		}
	}
}

// low reports whether less than the floor's share is free. Caller holds mu.
func (d *disk) low(share uint64) bool { return d.seen && d.free < d.floor/share }

// check says why no job can be taken. Errors: *market.Error disk-full.
func (d *disk) check(ctx context.Context) error {
	d.watch()
	d.checkFloor(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.low(1) {
		return nil
	}
	return &market.Error{
		Code: market.CodeDiskFull, Kind: market.KindUnavailable, Op: "check disk", Hint: "free some space",
		Detail: fmt.Sprintf("%s free at %s, at least %s must stay free", gib(d.free), d.root, gib(d.floor)),
	}
}

// hold lets a job's use be measured from now on; drop ends that.
func (d *disk) hold(k job.Key, grant uint64) {
	if grant == 0 {
		return
	}
	d.mu.Lock()
	d.grants[k] = grant
	d.mu.Unlock()
	d.watch()
}

func (d *disk) drop(k job.Key) {
	d.mu.Lock()
	delete(d.grants, k)
	delete(d.used, lease16(k.Lease))
	d.mu.Unlock()
}

func (d *disk) holds() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.grants) > 0
}

// measure asks for all sizes at once and returns how long to rest. Two such calls at a time are refused by the engine,
// so a failed one is tried again soon. A sparse file counts in full.
func (d *disk) measure(ctx context.Context) time.Duration {
	began := time.Now()
	dctx, cancel := context.WithTimeout(ctx, dfTimeout)
	defer cancel()
	du, err := d.api.DiskUsage(dctx,
		types.DiskUsageOptions{Types: []types.DiskUsageObject{types.ContainerObject, types.VolumeObject}})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		if !d.broken && ctx.Err() == nil && !saysBusyDisk(err) {
			d.log.Warn("Disk use of jobs is not measured", "code", market.CodeEngineError, "error",
				err) // once per outage
			d.broken = true
		}
		return floorEvery
	}
	d.broken = false
	sum := d.sizes(&du)
	for lease, n := range sum {
		d.used[lease] = usage{now: n, peak: max(n, d.used[lease].peak)}
	}
	for lease := range d.used {
		if _, there := sum[lease]; !there {
			delete(d.used, lease)
		}
	}
	every := d.every
	if d.low(1) {
		every = min(every, lowEvery)
	}
	return max(every, restFactor*time.Since(began))
}

// sizes sums containers and volumes of this node by lease. An unknown size is -1.
func (d *disk) sizes(du *types.DiskUsage) map[string]uint64 {
	sum := map[string]uint64{}
	add := func(name string, n int64) {
		if lease, ok := d.leaseOf(name); ok {
			sum[lease] += uint64(max(n, 0))
		}
	}
	for _, c := range du.Containers {
		if len(c.Names) > 0 {
			add(c.Names[0], c.SizeRw)
		}
	}
	for _, v := range du.Volumes {
		if v.UsageData != nil {
			add(v.Name, v.UsageData.Size)
		}
	}
	return sum
}

// over says why a running job must end now: it holds more than its grant, or the disk of the rig is about to be
// full. Empty code: it need not.
func (d *disk) over(k job.Key, grant uint64) (code market.Code, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.used[lease16(k.Lease)]; grant > 0 && u.now > grant {
		return market.CodeDiskExceeded, fmt.Sprintf("disk %s granted, %s used at the peak", gib(grant), gib(u.peak))
	}
	if d.low(2) { // where the kernel limits nothing, only the end of all writers saves the rig
		return market.CodeDiskFull, fmt.Sprintf("%s free on the rig's disk, at least %s must stay free", gib(d.free),
			gib(d.floor))
	}
	return "", ""
}

// gib is a size for people.
func gib(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
