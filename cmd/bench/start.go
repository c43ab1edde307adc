package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/runtime/runtimetest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// What a job of this bench gets, the peer's container too.
const (
	jobRAM = 256 << 20
	jobShm = 64 << 20
)

// startSlot is the ledger's slot time: a tenth of a second, as in the demo. On a public cluster it is 0.4 s, so an open
// takes four times longer.
const startSlot = 100 * time.Millisecond

// openRuns is how many orders open a channel; each waits for finality.
const openRuns = 4

// newStartBench opens an engine, a market with slots of that time and a registry with the job's image. shut ends what
// was opened, also after an error.
func newStartBench(ctx context.Context, o options, slot time.Duration) (b *startBench, shut func() error, err error) {
	b = &startBench{}
	var ends []func() error
	shut = func() (err error) {
		for _, end := range slices.Backward(ends) {
			err = errors.Join(err, end())
		}
		return err
	}
	if b.engine, err = newEngine(); err != nil {
		return b, shut, err
	}
	if b.w, err = newWorld(ctx, o, slot); err != nil {
		return b, shut, err
	}
	ends = append(ends, b.w.close)
	reg, err := runtimetest.NewRegistry()
	if err != nil {
		return b, shut, err
	}
	ends = append(ends, reg.Close)
	return b, shut, b.prepare(ctx, reg)
}

// benchStart measures from the order to the first line of the job's log at the customer's socket, image cached: on an
// open channel, and with the channel opened; in the same loop the engine alone creates, starts and says its first line.
func benchStart(ctx context.Context, o options, r *report) (err error) {
	b, shut, err := newStartBench(ctx, o, startSlot)
	defer func() { err = errors.Join(err, shut()) }()
	if err != nil {
		return err
	}
	var plain, kept, opened, ready []time.Duration
	for i := range openRuns {
		d, _, err := b.order(ctx, false)
		if err != nil {
			return err
		}
		if i > 0 { // the first order also probes and fills what every later one finds
			opened = append(opened, d)
		}
	}
	for i := range o.runs + 1 {
		p, err := b.engine.runOnce(ctx, b.pinned(), b.args)
		if err != nil {
			return err
		}
		d, rd, err := b.order(ctx, true)
		if err != nil {
			return err
		}
		if i == 0 {
			continue // it opened the channel that the others use
		}
		plain, kept, ready = append(plain, p), append(kept, d), append(ready, rd)
		r.note("run %2d: engine alone %4.0f ms, order to Ready %4.0f ms, to the first line %4.0f ms", i, millis(p),
			millis(rd), millis(d))
		r.note("        %s", strings.Join(b.steps, ", "))
	}
	return b.report(r, plain, kept, opened, ready)
}

func (b *startBench) report(r *report, plain, kept, opened, ready []time.Duration) error {
	const peer = "engine's own create, start and first line"
	p50, p99 := quantile(kept, 0.5), quantile(kept, 0.99)
	base := quantile(plain, 0.5)
	limit := 2*base + 100*time.Millisecond
	for _, f := range []figure{
		{Name: "start_p50", Value: millis(p50), Unit: "ms", Peer: peer, PeerValue: millis(base),
			Target: fmt.Sprintf("≤ %.0f ms: twice the peer + 100 ms", millis(limit)), OK: p50 <= limit},
		{Name: "start_p99", Value: millis(p99), Unit: "ms", Peer: peer, PeerValue: millis(quantile(plain, 0.99)),
			Target: "≤ 1000 ms", OK: p99 <= time.Second},
		{Name: "start_ready_p50", Value: millis(quantile(ready, 0.5)), Unit: "ms", OK: true},
		{Name: "start_open_p50", Value: millis(quantile(opened, 0.5)), Unit: "ms", Peer: peer, PeerValue: millis(base),
			OK: true},
		{Name: "start_open_max", Value: millis(quantile(opened, 1)), Unit: "ms", OK: true},
	} {
		if err := r.add(f); err != nil {
			return err
		}
	}
	return nil
}

// startBench holds the parts of one run.
type startBench struct {
	w        *world
	engine   *engine
	customer *process
	rig      *process
	image    spec.ImageRef
	args     []string
	steps    []string // of the last order, with ms since it was placed
}

// pinned is the image as engines pull it by digest.
func (b *startBench) pinned() string {
	return strings.TrimSuffix(b.image.Ref, ":latest") + "@" + b.image.Manifest
}

// prepare builds and pulls the image, starts the nodes and gives the customer money.
func (b *startBench) prepare(ctx context.Context, reg *runtimetest.Registry) error {
	bin := filepath.Join(b.w.dir, "testjob")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin,
		"github.com/gpuai/gpuai/runtime/runtimetest/testjob")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the job: %w\n%s", err, out)
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	cfg := runtimetest.ImageConfig{Entrypoint: []string{runtimetest.TestJob}}
	if b.image, err = reg.Push("bench/job", map[string][]byte{runtimetest.TestJob[1:]: program, "tmp/": nil},
		cfg); err != nil {
		return err
	}
	b.args = []string{"echo=hello", "sleep=1s"}
	if err := b.engine.pull(ctx, b.pinned()); err != nil {
		return err
	}
	if b.customer, b.rig, err = b.w.market(ctx); err != nil {
		return err
	}
	_, err = b.customer.client.Airdrop(ctx, market.Amount(20*market.LamportsSOL))
	return err
}

// order runs one job and returns when its first line came and when the customer knew that it was Ready, both from the
// order on; it ends with the order's end.
func (b *startBench) order(ctx context.Context, keep bool) (first, ready time.Duration, err error) {
	c := b.customer.client
	// the offer comes by gossip, a moment after the last order's end
	err = until(ctx, "a free device", nodeWait, func() (bool, error) {
		list, err := c.Offers(ctx, market.Sort{})
		return len(list) > 0 && list[0].Free > 0, err
	})
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	job := spec.NewFile(b.image.Ref)
	job.Args, job.CPUMilli, job.Memory, job.Disk, job.Shm = b.args, 1000, jobRAM, 1<<30, jobShm
	job.Egress, job.StopGrace = market.EgressNone, 5*time.Second
	job.Limits = spec.FileLimits{MaxRate: 2 * market.LamportsSOL, MaxTotal: market.LamportsSOL / 20,
		MaxDuration: 10 * time.Minute}
	o, err := c.CreateOrder(ctx, api.OrderRequest{Key: rand.Text(), Job: job, KeepChannel: keep})
	if err != nil {
		return 0, 0, err
	}
	id := o.ID
	err = until(ctx, "Ready", time.Minute, func() (bool, error) {
		o, err = c.Order(ctx, id)
		return o.ReadyAt != nil || o.Ended(), err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("%w: the order stands at %s: %+v", err, o.Standing, o.Steps)
	}
	if o.ReadyAt == nil {
		return 0, 0, fmt.Errorf("the order ended: %s %s: %+v", o.Code, o.Detail, o.Steps)
	}
	ready = time.Since(began)
	enough := errors.New("the first line is here")
	_, err = c.Logs(ctx, id, api.LogQuery{Follow: true}, func(api.LogPiece) error { return enough })
	first = time.Since(began)
	if !errors.Is(err, enough) {
		return 0, 0, fmt.Errorf("read the job's log: %w", err)
	}
	err = until(ctx, "the end of the order", time.Minute, func() (bool, error) {
		o, err = c.Order(ctx, id)
		return o.Ended() && (keep || o.Finished), err
	})
	if err == nil && o.Code != market.CodeCompleted {
		err = fmt.Errorf("the order ended: %s %s: %+v", o.Code, o.Detail, o.Steps)
	}
	b.steps = b.steps[:0]
	for _, s := range o.Steps {
		b.steps = append(b.steps, fmt.Sprintf("%s +%d", s.Phase, s.At.Sub(o.CreatedAt.Time).Milliseconds()))
	}
	return first, ready, err
}
