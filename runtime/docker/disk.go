package docker

import (
	"context"
	"fmt"
	"strings"
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

// watcher knows what the jobs of this node hold on disk, and whether the engine's disk is nearly full.
type watcher struct {
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

// DiskLow tells, by a value each time, that the engine's disk fell below the floor: Sellable will refuse.
func (e *Engine) DiskLow() <-chan struct{} { return e.disk.crossed }

// watchDisk runs from the first need until Close.
func (e *Engine) watchDisk() {
	e.disk.once.Do(func() {
		e.wg.Go(func() {
			tick := time.NewTicker(min(e.cfg.DiskEvery, floorEvery))
			defer tick.Stop()
			var next time.Time
			for {
				e.checkFloor(e.ctx)
				if now := time.Now(); e.holds() && !now.Before(next) {
					next = now.Add(e.measure(e.ctx))
				}
				select {
				case <-e.ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	})
}

// checkFloor reads the free space of the engine's disk. Where that cannot be read (an engine elsewhere, no Linux) there
// is no floor.
func (e *Engine) checkFloor(ctx context.Context) {
	d := &e.disk
	d.mu.Lock()
	root := d.root
	d.mu.Unlock()
	if root == "" {
		actx, cancel := ask(ctx)
		info, err := e.api.Info(actx)
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
	if d.floor = e.cfg.DiskFloor; d.floor == 0 {
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
func (d *watcher) low(share uint64) bool { return d.seen && d.free < d.floor/share }

// checkDisk says why no job can be taken. Errors: *market.Error disk-full.
func (e *Engine) checkDisk(ctx context.Context) error {
	e.watchDisk()
	e.checkFloor(ctx)
	d := &e.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.low(1) {
		return nil
	}
	return &market.Error{
		Code: "disk-full", Kind: market.KindUnavailable, Op: "check disk", Hint: "free some space",
		Detail: fmt.Sprintf("%s free at %s, at least %s must stay free", gib(d.free), d.root, gib(d.floor)),
	}
}

// hold lets a job's use be measured from now on; drop ends that.
func (e *Engine) hold(k job.Key, grant uint64) {
	if grant == 0 {
		return
	}
	e.disk.mu.Lock()
	e.disk.grants[k] = grant
	e.disk.mu.Unlock()
	e.watchDisk()
}

func (e *Engine) drop(k job.Key) {
	e.disk.mu.Lock()
	delete(e.disk.grants, k)
	delete(e.disk.used, lease16(k.Lease))
	e.disk.mu.Unlock()
}

func (e *Engine) holds() bool {
	e.disk.mu.Lock()
	defer e.disk.mu.Unlock()
	return len(e.disk.grants) > 0
}

// measure asks for all sizes at once and returns how long to rest. Two such calls at a time are refused by the engine,
// so a failed one is tried again soon. A sparse file counts in full.
func (e *Engine) measure(ctx context.Context) time.Duration {
	began := time.Now()
	dctx, cancel := context.WithTimeout(ctx, dfTimeout)
	defer cancel()
	du, err := e.api.DiskUsage(dctx,
		types.DiskUsageOptions{Types: []types.DiskUsageObject{types.ContainerObject, types.VolumeObject}})
	d := &e.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		if !d.broken && ctx.Err() == nil && !saysBusyDisk(err) {
			e.log.Warn("Disk use of jobs is not measured", "code", "engine-error", "error", err) // once per outage
			d.broken = true
		}
		return floorEvery
	}
	d.broken = false
	sum := e.sizes(&du)
	for lease, n := range sum {
		d.used[lease] = usage{now: n, peak: max(n, d.used[lease].peak)}
	}
	for lease := range d.used {
		if _, there := sum[lease]; !there {
			delete(d.used, lease)
		}
	}
	every := e.cfg.DiskEvery
	if d.low(1) {
		every = min(every, lowEvery)
	}
	return max(every, restFactor*time.Since(began))
}

// sizes sums containers and volumes of this node by lease. An unknown size is -1.
func (e *Engine) sizes(du *types.DiskUsage) map[string]uint64 {
	sum := map[string]uint64{}
	add := func(name string, n int64) {
		rest, ours := strings.CutPrefix(strings.TrimPrefix(name, "/"), e.prefix())
		lease, _, ok := strings.Cut(rest, "-")
		if ours && ok && len(lease) == leaseName {
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

// overDisk says why a running job must end now: it holds more than its grant, or the disk of the rig is about to be
// full. Empty code: it need not.
func (e *Engine) overDisk(k job.Key, grant uint64) (code, detail string) {
	d := &e.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.used[lease16(k.Lease)]; grant > 0 && u.now > grant {
		return "disk-exceeded", fmt.Sprintf("disk %s granted, %s used at the peak", gib(grant), gib(u.peak))
	}
	if d.low(2) { // where the kernel limits nothing, only the end of all writers saves the rig
		return "disk-full", fmt.Sprintf("%s free on the rig's disk, at least %s must stay free", gib(d.free),
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
