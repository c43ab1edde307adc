package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/gpuai/gpuai/market"
	registry "github.com/gpuai/gpuai/runtime/image"
	"github.com/gpuai/gpuai/runtime/job"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Limits of images.
const (
	maxImageBytes = 40 << 30 // compressed
	maxVolumes    = 8
	maxPulls      = 2
	floorWindow   = 60 * time.Second
)

// images gets the images of jobs, at most maxPulls at once. Pulls of the same digest are one.
type images struct {
	*life
	*containers
	log        *slog.Logger
	registries *registry.Resolver // asks how long a registry wants to be left alone
	rest       time.Duration      // after a first try
	window     time.Duration      // of the floor rate
	pulls      slots

	mu      sync.Mutex
	flights map[string]*flight // by name and digest
}

type flight struct {
	done    chan struct{}
	err     error
	waiters int
	cancel  context.CancelFunc
	mu      sync.Mutex
	prog    job.Progress
	idle    bool  // no bytes are due: it waits for a slot, or for the registry
	last    error // of the try before
}

func (f *flight) set(idle bool, last error) {
	f.mu.Lock()
	f.idle, f.last = idle, last
	f.mu.Unlock()
}

// state is what a waiter looks at.
func (f *flight) state() (g job.Progress, idle bool, last error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.prog, f.idle, f.last
}

// ensure returns the image, pulled by digest if it is not there. note gets the progress.
func (im *images) ensure(ctx context.Context, p job.Plan, note func(job.Observed)) (*image.InspectResponse, error) {
	name, err := pullName(p.Image)
	if err != nil {
		return nil, imageError(market.CodeImageNotFound, err.Error(), nil)
	}
	if p.Image.CompressedBytes > maxImageBytes {
		return nil, imageError(market.CodeImageTooBig,
			fmt.Sprintf("%d bytes, at most %d", p.Image.CompressedBytes, uint64(maxImageBytes)), nil)
	}
	img, err := im.find(ctx, name, p.Image)
	if err != nil {
		return nil, engineError("look at image", err)
	}
	if img == nil {
		if err := im.pull(ctx, name, p, note); err != nil {
			return nil, err
		}
		if img, err = im.find(ctx, name, p.Image); err != nil {
			return nil, engineError("look at image", err)
		}
		if img == nil {
			return nil, imageError(market.CodeImageRefused, "the pulled image is not the one of the order", nil)
		}
	}
	return img, checkImage(img)
}

func imageError(code market.Code, detail string, err error) *market.Error {
	hint := map[market.Code]string{
		market.CodeImageNotFound: "check the image's name; private images are not supported",
		market.CodeImageStalled:  "try again or use a smaller image",
		market.CodeImageTooBig:   "use a smaller image", market.CodeImageRefused: "rebuild the image",
	}[code]
	return &market.Error{Code: code, Kind: market.KindInvalid, Op: "get image", Detail: cut(detail), Err: err,
		Hint: hint}
}

// pullName is repository@digest; without a tag the engine keeps no name that another image could take over.
func pullName(r spec.ImageRef) (string, error) {
	n, err := spec.ParseReference(r.Ref)
	if err != nil {
		return "", fmt.Errorf("%q is no image reference", cut(r.Ref))
	}
	n, err = spec.ParseReference(n.Name() + "@" + r.Manifest)
	if err != nil {
		return "", fmt.Errorf("%q is no manifest digest", cut(r.Manifest))
	}
	return n.Name() + "@" + n.Digest, nil
}

// find returns nil, nil if the engine lacks the image. An image counts only if it came from this repository by
// this digest and its config is the pinned one: an image of the owner is no image of a stranger.
func (im *images) find(ctx context.Context, name string, r spec.ImageRef) (*image.InspectResponse, error) {
	ctx, cancel := ask(ctx)
	defer cancel()
	img, err := im.api.ImageInspect(ctx, name)
	switch {
	case notFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	pinned := slices.ContainsFunc(img.RepoDigests, func(d string) bool { return strings.HasSuffix(d, "@"+r.Manifest) })
	if !pinned || r.Config != "" && img.ID != r.Config && img.ID != r.Manifest {
		return nil, nil
	}
	return &img, nil
}

// checkImage refuses what no sandbox should hold.
func checkImage(img *image.InspectResponse) error {
	if img.Os != "linux" || img.Architecture != "amd64" {
		return imageError(market.CodeImageRefused,
			fmt.Sprintf("platform %s/%s, want linux/amd64", img.Os, img.Architecture),
			nil)
	}
	if img.Config == nil {
		return imageError(market.CodeImageRefused, "no config", nil)
	}
	if len(img.Config.Volumes) > maxVolumes {
		return imageError(market.CodeImageRefused,
			fmt.Sprintf("%d VOLUMEs, at most %d", len(img.Config.Volumes), maxVolumes),
			nil)
	}
	for _, p := range append(slices.Collect(keys(img.Config.Volumes)), img.Config.WorkingDir) {
		p = path.Clean("/" + p)
		for _, bad := range []string{"/proc", "/sys", "/dev", "/.gpuai"} { // CVE-2024-21626 came through WORKDIR
			if p == bad || strings.HasPrefix(p, bad+"/") {
				return imageError(market.CodeImageRefused, fmt.Sprintf("%s as WORKDIR or VOLUME", p), nil)
			}
		}
	}
	return nil
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// pull joins or starts the one pull of this digest and waits for it; the last waiter that leaves ends it.
func (im *images) pull(ctx context.Context, name string, p job.Plan, note func(job.Observed)) error {
	im.mu.Lock()
	f := im.flights[name]
	if f == nil {
		fctx, cancel := context.WithCancel(im.ctx)
		f = &flight{done: make(chan struct{}), cancel: cancel, idle: true,
			prog: job.Progress{Phase: "pull", Total: p.Image.CompressedBytes}}
		im.flights[name] = f
		im.wg.Go(func() {
			f.err = im.pullTries(fctx, name, p, f)
			cancel()
			im.mu.Lock()
			if im.flights[name] == f {
				delete(im.flights, name)
			}
			im.mu.Unlock()
			close(f.done)
		})
	}
	f.waiters++
	im.mu.Unlock()
	defer func() {
		im.mu.Lock()
		if f.waiters--; f.waiters == 0 {
			f.cancel()
			if im.flights[name] == f {
				delete(im.flights, name)
			}
		}
		im.mu.Unlock()
	}()
	watch := im.watch(p, f)
	tick := time.NewTicker(min(100*time.Millisecond, im.window/4))
	defer tick.Stop()
	for {
		o := job.Observed{State: job.Pulling}
		var last error
		if o.Progress, _, last = f.state(); last != nil {
			o.Detail = spoken(last)
		}
		note(o)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return f.err
		case now := <-tick.C:
			if err := watch(now); err != nil {
				return err
			}
		}
	}
}

// watch ends a wait at the plan's deadline, or when the mean of a whole window is below the floor while bytes are due.
func (im *images) watch(p job.Plan, f *flight) func(time.Time) error {
	type mark struct {
		at   time.Time
		done uint64
	}
	marks := []mark{{time.Now(), 0}}
	return func(now time.Time) error {
		g, idle, last := f.state()
		if err := late(p, market.CodeImageStalled); err != nil {
			if last != nil && g.Done == 0 {
				return unreachable(last)
			}
			return imageError(market.CodeImageStalled,
				fmt.Sprintf("the preparation time is used up; %d of %d bytes", g.Done,
					g.Total), last)
		}
		if g.Phase != "pull" || idle {
			marks = []mark{{now, g.Done}} // extraction is progress
			return nil
		}
		marks = append(marks, mark{now, g.Done})
		for len(marks) > 2 && now.Sub(marks[1].at) >= im.window {
			marks = marks[1:]
		}
		span := now.Sub(marks[0].at)
		if p.FloorRate == 0 || span < im.window {
			return nil
		}
		if rate := float64(g.Done-min(marks[0].done, g.Done)) / span.Seconds(); rate < float64(p.FloorRate) {
			return imageError(market.CodeImageStalled,
				fmt.Sprintf("%.0f bytes/s over %v, the floor is %d", rate, im.window,
					p.FloorRate), nil)
		}
		return nil
	}
}

// maxRegistryWait is the longest that a registry may ask to be left alone while a lease's devices wait for it.
const maxRegistryWait = time.Minute

// pullTries pulls until the registry gives a final answer, with growing rests, as long as it asks for if it asks, and a
// bounded number of times.
// Errors: *market.Error image-…, disk-full, registry-unreachable with the last words; ctx's.
func (im *images) pullTries(ctx context.Context, name string, p job.Plan, f *flight) error {
	for n := 1; ; n++ {
		err := im.pullSlot(ctx, name, p, f)
		var me *market.Error
		if err == nil || errors.As(err, &me) || ctx.Err() != nil {
			return err
		}
		rest := restAfter(im.rest, n)
		if saysTooMany(err) {
			rest = max(rest, im.registries.RetryAfter(ctx, p.Image))
		}
		f.set(true, err)
		if n == maxTries || rest > maxRegistryWait || !p.Deadline.IsZero() && time.Now().Add(rest).After(p.Deadline) {
			return unreachable(err)
		}
		im.log.Warn("A pull failed and is tried again", "image", name, "rest", rest, "error", err)
		if err := pause(ctx, rest); err != nil {
			return err
		}
	}
}

func unreachable(last error) error {
	return &market.Error{Code: market.CodeRegistryUnreachable, Kind: market.KindUnavailable, Op: "get image",
		Detail: spoken(last), Err: last, Hint: "try again later"}
}

// pullSlot pulls once, in one of the slots.
func (im *images) pullSlot(ctx context.Context, name string, p job.Plan, f *flight) error {
	free, err := im.pulls.take(ctx)
	if err != nil {
		return err
	}
	defer free()
	_, _, last := f.state()
	f.set(false, last)
	return im.pullOnce(ctx, name, p, f)
}

// pullOnce reads the engine's stream to its end; an error in it is the registry's.
func (im *images) pullOnce(ctx context.Context, name string, p job.Plan, f *flight) error {
	body, err := im.api.ImagePull(ctx, name, image.PullOptions{Platform: "linux/amd64"})
	if err != nil {
		return sortPull(err)
	}
	defer body.Close()
	dec := json.NewDecoder(body)
	layers := map[string]layer{}
	for {
		var m pullLine
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read pull of %s: %w", name, err)
		}
		if m.Error != "" {
			return sortPull(errors.New(m.Error))
		}
		g := tally(layers, m, p.Image.CompressedBytes)
		f.mu.Lock()
		f.prog = g
		f.mu.Unlock()
		if claimed := p.Image.CompressedBytes; claimed > 0 && g.Total > claimed+claimed/10+64<<20 {
			return imageError(market.CodeImageTooBig, fmt.Sprintf("%d bytes where %d were claimed", g.Total, claimed),
				nil)
		}
	}
}

type pullLine struct {
	Status, ID, Error string
	ProgressDetail    struct{ Current, Total uint64 }
}

type layer struct {
	done, total uint64
	extracting  bool
	over        bool
}

// tally adds one line of the stream; the phase is extract when nothing is left to download.
func tally(layers map[string]layer, m pullLine, claimed uint64) job.Progress {
	l := layers[m.ID]
	switch m.Status {
	case "Downloading":
		l.done, l.total = m.ProgressDetail.Current, max(m.ProgressDetail.Total, l.total)
	case "Verifying Checksum", "Download complete":
		l.done, l.over = l.total, true
	case "Extracting":
		l.done, l.over, l.extracting = l.total, true, true
	case "Pull complete", "Already exists":
		l.done, l.over, l.extracting = l.total, true, false
	case "Pulling fs layer", "Waiting":
	default:
		m.ID = ""
	}
	if m.ID != "" {
		layers[m.ID] = l
	}
	g := job.Progress{Phase: "pull"}
	open, extracting := 0, false
	for _, l := range layers {
		g.Done += l.done
		g.Total += l.total
		extracting = extracting || l.extracting
		if !l.over {
			open++
		}
	}
	if len(layers) > 0 && open == 0 || extracting {
		g.Phase = "extract"
	}
	g.Total = max(g.Total, g.Done)
	if open > 0 {
		g.Total = max(g.Total, claimed) // layers that wait have not told their size
	}
	return g
}

// sortPull tells a registry's final answer from what may pass. Errors: *market.Error image-not-found, image-refused,
// disk-full, or err to try again.
func sortPull(err error) error {
	if w := said(pullWords, err); w != nil && w.Code != "" {
		return &market.Error{Code: w.Code, Kind: market.KindInvalid, Op: "get image", Detail: spoken(err), Err: err,
			Hint: w.Hint}
	}
	return err
}
